use super::*;

fn config(words: &[&str]) -> Result<Config, Problems> {
    let read = |path: &Path| match path.to_str() {
        Some("two") => Ok("first-secret-of-the-file\n\n  second-secret-of-the-file \n".to_owned()),
        Some("empty") => Ok("\n".to_owned()),
        _ => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    Config::new(Cli::from_words(words), &read)
}

fn good(words: &[&str]) -> Config {
    config(words).unwrap_or_else(|problems| panic!("{words:?}: {problems}"))
}

fn problems(words: &[&str]) -> String {
    config(words).map(|_| ()).expect_err("these options are wrong").to_string()
}

#[test]
fn the_defaults_are_those_of_the_javascript_server_on_loopback() {
    let config = good(&[]);
    assert_eq!(config.listen, "127.0.0.1:3000".parse().unwrap());
    assert_eq!(config.admin_listen, None);
    assert_eq!(config.path, "/socket.io/");
    assert_eq!(config.ping_interval, Duration::from_secs(25));
    assert_eq!(config.ping_timeout, Duration::from_secs(20));
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.limits_mode, LimitsMode::Enforce);
    assert_eq!(config.outbox, OutboxLimits::default());
    assert_eq!(config.transports, [TransportKind::Polling, TransportKind::WebSocket]);
    assert_eq!(config.cors, Cors::same_origin());
    assert!(config.upgrades && config.demo && !config.allow_join && !config.require_bus);
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let text = problems(&[
        "--listen",
        "nonsense",
        "--admin-listen",
        "127.0.0.1",
        "--bus",
        "carrier-pigeon://x",
        "--bridge",
        "cobol",
        "--secret",
        "hunter2",
        "--cors",
        "app.example.com",
        "--ping-interval",
        "25",
        "--ping-timeout",
        "1ms",
        "--max-payload",
        "0",
        "--transports",
        "smoke",
        "--parser",
        "yaml",
        "--log-level",
        "verbose",
        "--log-format",
        "xml",
        "--secret-file",
        "none",
        "--demo=perhaps",
        "--path",
        "/",
    ]);
    for option in [
        "--listen: `nonsense`",
        "--admin-listen: `127.0.0.1`",
        "--bus: ",
        "--bridge: `cobol`",
        "--secret: one of 7 bytes",
        "--cors: `app.example.com`",
        "--ping-interval: `25`",
        "--ping-timeout: 1ms is too short",
        "--max-payload: `0`",
        "--transports: `smoke`",
        "--parser: `yaml`",
        "--log-level: `verbose`",
        "--log-format: `xml`",
        "--secret-file: none cannot be read",
        "--demo: `perhaps`",
        "--path: `/`",
    ] {
        assert!(text.contains(option), "{option} is not in:\n{text}");
    }
    assert!(!text.contains("hunter2"), "the secret itself is not repeated:\n{text}");
}

#[test]
fn the_demo_is_on_for_loopback_only_unless_said() {
    for (words, demo) in [
        (&["--listen", "127.0.0.1:0"][..], true),
        (&["--listen", "127.8.9.1:0"], true),
        (&["--listen", "[::1]:0"], true),
        (&["--listen", "[::ffff:127.0.0.1]:0"], true),
        (&["--listen", "localhost:0"], true),
        (&["--listen", "0.0.0.0:0"], false),
        (&["--listen", "[::]:0"], false),
        (&["--listen", "192.0.2.1:0"], false),
        (&["--listen", "0.0.0.0:0", "--demo"], true),
        (&["--listen", "0.0.0.0:0", "--demo=true"], true),
        (&["--no-demo"], false),
        (&["--demo=off"], false),
        (&["--demo", "--no-demo"], false),
        (&["--no-demo", "--demo"], true),
        (&["--parser", "msgpack"], false),
        (&["--parser", "msgpack", "--demo=off"], false),
    ] {
        assert_eq!(good(words).demo, demo, "{words:?}");
    }
}

#[test]
fn secrets_come_from_options_and_a_file_in_this_order() {
    let secrets =
        good(&["--secret", "the-first-of-the-options,the-second-of-the-options", "--secret-file", "two"])
            .secrets;
    let expected = [
        "the-first-of-the-options",
        "the-second-of-the-options",
        "first-secret-of-the-file",
        "second-secret-of-the-file",
    ];
    assert_eq!(secrets.0, expected);
    assert_eq!(format!("{secrets:?}"), "4 secrets");
    assert!(problems(&["--secret-file", "empty"]).contains("empty has no secret in it"));
}

#[test]
fn a_bus_url_is_never_shown_with_its_password() {
    let config = good(&["--bus", "memory://here", "--channel", "shop"]);
    assert_eq!((&*config.bus.url, &*config.bus.channel), ("memory://here", "shop"));
    let text = problems(&["--bus", "carrier://user:hunter2@host"]);
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn origins_are_checked() {
    assert_eq!(good(&["--cors", "*"]).cors, Cors::any());
    let two = vec!["https://a.example".to_owned(), "http://b.example:8080".to_owned()];
    assert_eq!(
        good(&["--cors", "https://a.example", "--cors", "http://b.example:8080"]).cors,
        Cors::origins(two)
    );
    assert!(problems(&["--cors", "*,https://a.example"]).contains("leave out the others"));
    for wrong in ["https://", "https://a.example/path", "https://*.example", "null"] {
        assert!(problems(&["--cors", wrong]).contains("is no origin"), "{wrong}");
    }
}

#[test]
fn durations_have_a_unit() {
    for (text, millis) in [("0s", 0), ("500ms", 500), ("25s", 25_000), ("2m", 120_000), ("1h", 3_600_000)] {
        assert_eq!(duration(text), Ok(Duration::from_millis(millis)));
    }
    for wrong in ["", "s", "-1s", "1.5s", "10", "1d", "1 s", "99999999999999999999s", "9999999999h"] {
        assert!(duration(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn paths_get_their_slashes() {
    for text in ["/socket.io/", "/socket.io", "socket.io"] {
        assert_eq!(path(text), Ok("/socket.io/".into()));
    }
    assert_eq!(path("/a/b"), Ok("/a/b/".into()));
    for wrong in ["", "/", "/a?b", "/a b/", "/ä/", "/metrics"] {
        assert!(path(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn filters_name_levels() {
    for right in ["info", "WARN", "off", "info,sockeye_bus=debug", "warn, sockeye::http=trace"] {
        assert!(filter(right).is_ok(), "{right}");
    }
    for wrong in ["", "loud", "sockeye", "sockeye=loud", "info,"] {
        assert!(filter(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn limits_are_numbers() {
    let config = good(&[
        "--limits-mode=warn",
        "--max-payload=5000",
        "--max-attachments=0",
        "--max-rooms=7",
        "--event-rate=0",
        "--max-queue=1000",
        "--slow-policy=drop-events",
    ]);
    let wanted = Limits {
        max_payload: 5000,
        max_attachments: 0,
        max_rooms: 7,
        events_per_second: 0,
        ..Limits::default()
    };
    assert_eq!((config.limits, config.limits_mode), (wanted, LimitsMode::Warn));
    let outbox = config.outbox;
    assert_eq!((outbox.hard_bytes, outbox.soft_bytes, outbox.policy), (1000, 1000, SlowPolicy::DropEvents));
    let text = problems(&[
        "--limits-mode=maybe",
        "--max-json-depth=0",
        "--max-namespaces=-1",
        "--event-burst=many",
        "--slow-policy=wait",
        "--max-queue=0",
    ]);
    for option in [
        "--limits-mode",
        "--max-json-depth",
        "--max-namespaces",
        "--event-burst",
        "--slow-policy",
        "--max-queue",
    ] {
        assert!(text.contains(option), "{option}: {text}");
    }
}

#[test]
fn proxies_and_addresses_belong_together() {
    use sockeye::{AddressLimits, Cookie, TrustedProxies};

    let http = good(&[]).http;
    assert_eq!((http.proxies, http.addresses, http.cookie, http.compression), (None, None, None, Some(1024)));
    let http = good(&["--trusted-proxies", "none", "--max-handshakes-per-address", "5"]).http;
    assert_eq!(http.proxies, Some(TrustedProxies::none()));
    let limits = AddressLimits { handshakes_per_second: 5, handshake_burst: 50, ..AddressLimits::default() };
    assert_eq!(http.addresses, Some(limits));
    let http = good(&["--trusted-proxies", "loopback,10.0.0.0/8", "--proxy-protocol", "--cookie", "io"]).http;
    assert_eq!(http.proxies, Some(TrustedProxies::cidrs(["loopback", "10.0.0.0/8"])));
    assert!(http.proxy_protocol && http.addresses.is_none() && http.cookie == Some(Cookie::new("io")));
    assert_eq!(good(&["--compression-threshold", "off"]).http.compression, None);
    assert_eq!(good(&["--compression-threshold", "0"]).http.compression, Some(0));
    for (words, problem) in [
        (&["--trusted-proxies", "lb.example"][..], "neither an address nor a network"),
        (&["--trusted-proxies", "none,10.0.0.1"], "leave out the others"),
        (&["--proxy-protocol"], "needs --trusted-proxies"),
        (&["--proxy-protocol", "--trusted-proxies", "none"], "needs --trusted-proxies"),
        (&["--max-connections-per-address", "5"], "needs --trusted-proxies"),
        (&["--max-connections-per-address", "many", "--trusted-proxies", "none"], "is no number"),
        (&["--cookie", "a b"], "is no name"),
        (&["--compression-threshold", "1k"], "is no number of bytes"),
    ] {
        assert!(problems(words).contains(problem), "{words:?}: {}", problems(words));
    }
}
