-- No breaker leaves an opening but by a sign-off of that opening (invariant 7): what keys cannot say, on postgresql.

CREATE FUNCTION breakers_move() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.environment <> OLD.environment OR NEW.kind <> OLD.kind OR NEW.name <> OLD.name
        OR NEW.opening < OLD.opening
        OR (NEW.opening <> OLD.opening AND NEW.state <> 'open')
        OR (NEW.opening = OLD.opening AND NEW.state = 'open' AND OLD.state <> 'open')
    THEN RAISE check_violation USING MESSAGE = 'a breaker leaves an opening only by its sign-off'; END IF
    ; RETURN NEW; END $$;

CREATE TRIGGER breakers_move BEFORE UPDATE ON breakers FOR EACH ROW EXECUTE FUNCTION breakers_move();

CREATE FUNCTION breakers_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE check_violation USING MESSAGE = 'breakers and their sign-offs are never changed back'; END $$;

CREATE TRIGGER breakers_stay BEFORE DELETE ON breakers FOR EACH ROW EXECUTE FUNCTION breakers_stay();

CREATE TRIGGER breakers_whole BEFORE TRUNCATE ON breakers EXECUTE FUNCTION breakers_stay();

CREATE FUNCTION breaker_sign_offs_begin() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT 1 FROM breakers WHERE environment = NEW.environment AND kind = NEW.kind AND name = NEW.name
            AND opening = NEW.opening AND state = NEW.from_state
    )
    THEN RAISE check_violation USING MESSAGE = 'a sign-off is of the opening that stands'; END IF
    ; RETURN NEW; END $$;

CREATE TRIGGER breaker_sign_offs_begin BEFORE INSERT ON breaker_sign_offs
    FOR EACH ROW EXECUTE FUNCTION breaker_sign_offs_begin();

CREATE TRIGGER breaker_sign_offs_stay BEFORE UPDATE OR DELETE ON breaker_sign_offs
    FOR EACH ROW EXECUTE FUNCTION breakers_stay();

CREATE TRIGGER breaker_sign_offs_whole BEFORE TRUNCATE ON breaker_sign_offs EXECUTE FUNCTION breakers_stay();
