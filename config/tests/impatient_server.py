"""The real socket server with short deadlines, as a process: `python -m config.tests.impatient_server PORT`."""

import sys

import django


def main() -> None:
    django.setup()

    from django.conf import settings
    from django.core.management import call_command

    from accounts.sockets import HeartbeatConsumer
    from config import server
    from elections.consumers import ElectionsConsumer

    server.HEAD_SECONDS = 1.0
    server.CLOSE_SECONDS = 2.0
    HeartbeatConsumer.heartbeat_seconds = 0.5
    ElectionsConsumer.idle_timeout_seconds = 2
    HeartbeatConsumer.send_timeout_seconds = 0.5
    settings.RATE_LIMIT_ROUTES = ["/ws/limited=1/60"]
    call_command("serve_sockets", port=int(sys.argv[1]), grace=2)


if __name__ == "__main__":
    main()
