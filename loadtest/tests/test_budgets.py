"""The load test's arithmetic: what breaks a budget, what memory grew."""

from loadtest.run import CONFIGURATION, Watch, read_figures


def test_profiles_name_the_same_things() -> None:
    names = [set(profile) for profile in CONFIGURATION["profiles"].values()]
    assert all(found == names[0] for found in names)
    assert CONFIGURATION["budgets"]["elections_p95_ms"] == 300
    assert CONFIGURATION["budgets"]["socket_lag_p99_ms"] == 1000
    assert CONFIGURATION["profiles"]["full"]["subscribers"] == 2000
    assert CONFIGURATION["profiles"]["ci"]["subscribers"] == 200
    assert CONFIGURATION["profiles"]["soak"]["seconds"] == 600


def test_growth_is_counted_from_a_tenth_of_the_run() -> None:
    watch = Watch({})
    # The caches fill at first; after that 100 MB become 120.
    values = [50.0] * 10 + [100.0] * 80 + [120.0] * 10
    watch.samples = [(float(at), {"http": value}) for at, value in enumerate(values)]
    assert round(watch.growth_percent("http")) == 20


def test_figures_are_read_from_what_locust_wrote(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("loadtest.run.REPORT", tmp_path)
    head = "Type,Name,Request Count,Failure Count,95%,99%\n"
    (tmp_path / "load_stats.csv").write_text(head + "GET,/elections,10,0,12,20\n,Aggregated,10,0,12,20\n")
    (tmp_path / "load_sockets_stats.csv").write_text(head + "WS,reconnect,10,0,5000,7000\n")
    (tmp_path / "load_listeners_stats.csv").write_text(head + "WS,lag,10,0,30,1200\nWS,reconnect,10,0,5000,8000\n")
    head = "Method,Name,Error,Occurrences\n"
    (tmp_path / "load_failures.csv").write_text(head + "GET,/elections,503,2\n")
    (tmp_path / "load_sockets_failures.csv").write_text(head + "GET,fresh after push,stale body: 1 < 2,3\n")
    (tmp_path / "load_listeners_failures.csv").write_text(head)
    figures = read_figures(Watch({}), "ci")
    assert (figures["elections_p95_ms"], figures["socket_lag_p99_ms"]) == (12, 1200)
    assert figures["reconnect_p99_ms"] == 8000  # the worst of both
    assert (figures["stale_bodies"], figures["unexpected_errors"]) == (3, 2)
    # What was not measured keeps no budget.
    assert not figures["graphql_p95_ms"] <= CONFIGURATION["budgets"]["graphql_p95_ms"]
