-- No breaker leaves an opening but by a sign-off of that opening (invariant 7): what keys cannot say, on sqlite.

CREATE TRIGGER breakers_begin BEFORE INSERT ON breakers
WHEN EXISTS (SELECT 1 FROM breakers WHERE environment = NEW.environment AND kind = NEW.kind AND name = NEW.name)
BEGIN SELECT RAISE(ABORT, 'a breaker is never replaced'); END;

CREATE TRIGGER breakers_move BEFORE UPDATE ON breakers
WHEN NEW.environment <> OLD.environment OR NEW.kind <> OLD.kind OR NEW.name <> OLD.name
    OR NEW.opening < OLD.opening
    OR (NEW.opening <> OLD.opening AND NEW.state <> 'open')
    OR (NEW.opening = OLD.opening AND NEW.state = 'open' AND OLD.state <> 'open')
BEGIN SELECT RAISE(ABORT, 'a breaker leaves an opening only by its sign-off'); END;

CREATE TRIGGER breakers_stay BEFORE DELETE ON breakers
BEGIN SELECT RAISE(ABORT, 'a breaker is never taken away'); END;

CREATE TRIGGER breaker_sign_offs_begin BEFORE INSERT ON breaker_sign_offs
WHEN NOT EXISTS (
    SELECT 1 FROM breakers WHERE environment = NEW.environment AND kind = NEW.kind AND name = NEW.name
        AND opening = NEW.opening AND state = NEW.from_state
) OR EXISTS (
    SELECT 1 FROM breaker_sign_offs WHERE environment = NEW.environment AND kind = NEW.kind
        AND name = NEW.name AND opening = NEW.opening AND to_state = NEW.to_state
)
BEGIN SELECT RAISE(ABORT, 'a sign-off is of the opening that stands, once'); END;

CREATE TRIGGER breaker_sign_offs_move BEFORE UPDATE ON breaker_sign_offs
BEGIN SELECT RAISE(ABORT, 'a sign-off is never changed'); END;

CREATE TRIGGER breaker_sign_offs_stay BEFORE DELETE ON breaker_sign_offs
BEGIN SELECT RAISE(ABORT, 'a sign-off is never taken away'); END;
