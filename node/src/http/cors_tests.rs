use http::Request;

use super::*;
use crate::http::head::Arrival;

struct Case<'a> {
    cors: &'a Cors,
    proxies: Option<TrustedProxies>,
    tls: bool,
}

impl Case<'_> {
    fn check(&self, headers: &[(&str, &str)]) -> Origin {
        let mut request = Request::builder().uri("/socket.io/");
        for (name, value) in headers {
            request = request.header(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let request = request.body(()).unwrap();
        let arrival = Arrival { peer: Some("127.0.0.1:1".parse().unwrap()), tls: self.tls, own: true };
        let proxies = self.proxies.as_ref();
        self.cors.check(&RequestHead::new(&request, arrival, proxies), proxies)
    }

    #[track_caller]
    fn is(&self, headers: &[(&str, &str)], allowed: bool) {
        assert_eq!(self.check(headers) != Origin::Refused, allowed, "{headers:?}");
    }
}

fn case(cors: &Cors) -> Case<'_> {
    Case { cors, proxies: None, tls: false }
}

#[test]
fn the_same_origin_is_scheme_and_host_and_port() {
    let cors = Cors::default();
    let case = case(&cors);
    for (host, origin, allowed) in [
        ("a.example:3000", "http://a.example:3000", true),
        ("a.example", "http://A.Example:80", true),
        ("A.EXAMPLE:80", "http://a.example", true),
        ("[::1]:3000", "http://[::1]:3000", true),
        ("[::1]", "http://[::1]", true),
        ("a.example:3000", "https://a.example:3000", false),
        ("a.example:3000", "http://a.example:3001", false),
        ("a.example:3000", "http://a.example", false),
        ("a.example:80", "https://a.example", false),
        ("example.com", "http://evil-example.com", false),
        ("example.com", "http://example.com.evil", false),
        ("example.com", "http://example.com@evil.com", false),
        ("example.com", "http://example.com/", false),
        ("example.com", "http://example.com:80:80", false),
        ("example.com", "http://example.com:", false),
        ("example.com", "http://example.com:+80", false),
        ("example.com", "http://example.com:0080", true),
        ("example.com", "//example.com", false),
        ("example.com", "example.com", false),
        ("example.com", "http://", false),
        ("example.com", "", false),
        ("null", "null", false),
        ("", "http://", false),
        ("xn--bcher-kva.example", "http://xn--bcher-kva.example", true),
        ("xn--bcher-kva.example", "http://bücher.example", false),
    ] {
        case.is(&[("host", host), ("origin", origin)], allowed);
    }
    case.is(&[("host", "a.example")], true);
    case.is(&[("origin", "http://a.example")], false);
    case.is(&[("host", "a"), ("origin", "http://a"), ("origin", "http://evil")], false);
    let tls = Case { tls: true, ..case };
    tls.is(&[("host", "a.example"), ("origin", "https://a.example")], true);
    tls.is(&[("host", "a.example"), ("origin", "https://a.example:443")], true);
    tls.is(&[("host", "a.example"), ("origin", "http://a.example")], false);
}

#[test]
fn any_proxy_tells_the_own_origin_until_proxies_are_configured() {
    let cors = Cors::default();
    let behind = [
        ("host", "10.0.0.1"),
        ("x-forwarded-host", "a.example, inner"),
        ("x-forwarded-proto", "https, http"),
        ("origin", "https://a.example"),
    ];
    case(&cors).is(&behind, true);
    // A proxy that keeps the host and says nothing about it.
    case(&cors).is(&[("host", "a"), ("x-forwarded-proto", "https"), ("origin", "https://a")], true);
    let with = |proxies| Case { proxies: Some(proxies), ..case(&cors) };
    with(TrustedProxies::none()).is(&behind, false);
    with(TrustedProxies::cidrs(["10.0.0.0/8"])).is(&behind, false);
    let trusted = with(TrustedProxies::cidrs(["loopback"]));
    let told = [("host", "10.0.0.1"), ("x-forwarded-host", "a.example"), ("x-forwarded-proto", "https")];
    for (origin, allowed) in
        [("https://a.example", true), ("http://a.example", false), ("https://10.0.0.1", false)]
    {
        trusted.is(&[told.as_slice(), &[("origin", origin)]].concat(), allowed);
    }
}

#[test]
fn a_list_allows_itself_and_the_own_origin() {
    let cors = Cors::origins(["https://app.example", "HTTP://Localhost:5173/", "capacitor://localhost"]);
    assert_eq!(cors.problems(), [""; 0]);
    for (origin, allowed) in [
        ("https://app.example", true),
        ("https://APP.example:443", true),
        ("http://localhost:5173", true),
        ("capacitor://localhost", true),
        ("http://x", true),
        ("http://app.example", false),
        ("https://app.example:444", false),
        ("https://other.example", false),
        ("https://evil-app.example", false),
        ("https://app.example.evil", false),
        ("https://app.example/", false),
        ("ionic://localhost", false),
        ("null", false),
        ("Null", false),
    ] {
        case(&cors).is(&[("host", "x"), ("origin", origin)], allowed);
    }
    case(&Cors::origins(["null"])).is(&[("host", "x"), ("origin", "null")], true);
    case(&Cors::origins([""; 0])).is(&[("host", "x"), ("origin", "http://y")], false);
}

#[test]
fn what_is_no_origin_is_a_problem() {
    let wrong = [
        "*",
        "app.example",
        "https://*.example",
        "https://a/b",
        "https://bücher.example",
        "",
        "://a",
        "https://a:x",
    ];
    assert_eq!(Cors::origins(wrong).problems().len(), wrong.len());
    assert_eq!(Cors::any().expose_headers(["ok", "not ok"]).allow_headers([""]).problems().len(), 2);
}

#[test]
fn a_predicate_sees_the_origin_and_the_request() {
    let cors = Cors::predicate(|origin, head| {
        head.host().is_some_and(|host| origin == format!("https://app.{host}"))
    });
    case(&cors).is(&[("host", "one.example"), ("origin", "https://app.one.example")], true);
    case(&cors).is(&[("host", "one.example"), ("origin", "https://app.two.example")], false);
    case(&cors).is(&[("host", "one.example"), ("origin", "http://one.example")], true);
    case(&cors).is(&[("host", "one.example"), ("origin", "\u{ff}")], false);
}

fn answer(cors: &Cors, preflight: bool, headers: &[(&str, &str)]) -> Vec<String> {
    let origin = case(cors).check(headers);
    let mut answer = HeaderMap::new();
    if preflight {
        let mut request = HeaderMap::new();
        request.insert("access-control-request-headers", HeaderValue::from_static("x-mine, content-type"));
        cors.apply_preflight(&origin, &request, &mut answer);
    } else {
        cors.apply(&origin, &mut answer);
    }
    let mut lines: Vec<String> =
        answer.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
    lines.sort();
    lines
}

#[test]
fn browsers_are_told() {
    let foreign = [("host", "x"), ("origin", "https://app.example")];
    assert_eq!(
        answer(&Cors::any(), false, &foreign),
        [
            "access-control-allow-credentials: true",
            "access-control-allow-origin: https://app.example",
            "vary: Origin"
        ]
    );
    let cors = Cors::any().credentials(false).expose_headers(["x-a", "X-B"]).max_age(Duration::from_secs(7));
    assert_eq!(
        answer(&cors, false, &foreign),
        [
            "access-control-allow-origin: https://app.example",
            "access-control-expose-headers: x-a, X-B",
            "vary: Origin"
        ]
    );
    assert_eq!(
        answer(&cors, true, &foreign),
        [
            "access-control-allow-headers: x-mine, content-type",
            "access-control-allow-methods: GET, POST, OPTIONS",
            "access-control-allow-origin: https://app.example",
            "access-control-max-age: 7",
            "vary: Access-Control-Request-Headers",
            "vary: Origin"
        ]
    );
    let narrow = answer(&Cors::any().allow_headers(["x-only"]), true, &foreign);
    assert!(narrow.contains(&"access-control-allow-headers: x-only".to_owned()), "{narrow:?}");
    for cors in [Cors::off(), Cors::default(), Cors::any()] {
        assert_eq!(answer(&cors, true, &[("host", "x")]), [""; 0], "nothing without an origin");
    }
    assert_eq!(answer(&Cors::off(), false, &foreign), [""; 0]);
}
