from accounts.pubsub import channel_name


def test_installations_in_numbered_databases_of_one_redis_do_not_hear_each_other(settings):
    settings.REDIS_URL = "redis://127.0.0.1:6379/1"
    one = channel_name("chain:31337")
    settings.REDIS_URL = "redis://127.0.0.1:6379/2"
    assert one != channel_name("chain:31337")
