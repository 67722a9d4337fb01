"""fastmcp's proxy as its documentation makes one. Runs in the environment of `bench/peers.txt`."""

import sys

from fastmcp.server import create_proxy

if __name__ == "__main__":
    create_proxy(sys.argv[2], name="proxy").run(
        transport="http", host="127.0.0.1", port=int(sys.argv[1]), show_banner=False, log_level="error"
    )
