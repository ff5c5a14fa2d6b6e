use super::*;

fn told(proxies: &TrustedProxies, peer: &str, headers: &[(&'static str, &str)]) -> (String, String, bool) {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, value.parse().unwrap());
    }
    let direct = Told { client: Some(peer.parse().unwrap()), host: Some("direct"), secure: false };
    let told = proxies.ask(&map, direct).valid();
    (told.client.unwrap().to_string(), told.host.unwrap_or("-").to_owned(), told.secure)
}

#[track_caller]
fn client(proxies: &TrustedProxies, peer: &str, chain: &str, expected: &str) {
    assert_eq!(told(proxies, peer, &[("x-forwarded-for", chain)]).0, expected, "{chain}");
}

#[test]
fn networks_contain_their_addresses() {
    for (network, inside, outside) in [
        ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
        ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
        ("192.0.2.128/25", "192.0.2.200", "192.0.2.100"),
        ("0.0.0.0/0", "1.2.3.4", "::1"),
        ("2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::1"),
        ("::1", "::1", "127.0.0.1"),
        ("::/0", "10.0.0.1", "-"),
        ("loopback", "127.1.2.3", "128.0.0.1"),
        ("private", "172.31.0.1", "172.32.0.1"),
        ("private", "fd00::1", "fe80::1"),
        // What a socket for both families reports of an IPv4 client.
        ("10.0.0.0/8", "::ffff:10.1.1.1", "::ffff:11.1.1.1"),
    ] {
        let proxies = TrustedProxies::cidrs([network]);
        assert_eq!(proxies.problems(), [""; 0], "{network}");
        assert!(proxies.contains(inside.parse().unwrap()), "{network} {inside}");
        if let Ok(outside) = outside.parse() {
            assert!(!proxies.contains(outside), "{network} {outside}");
        }
    }
}

#[test]
fn what_is_no_network_is_a_problem() {
    let words =
        ["", "10.0.0.0/33", "10.0.0/8", "::/129", "proxy.example", "10.0.0.0/-1", "10.0.0.0/8/8", "Loopback"];
    let proxies = TrustedProxies::cidrs(words);
    assert_eq!(proxies.problems().len(), words.len());
    assert!(proxies.is_empty());
}

#[test]
fn the_client_is_the_last_that_is_not_trusted() {
    let proxies = TrustedProxies::cidrs(["10.0.0.0/8", "2001:db8::/32"]);
    client(&proxies, "10.0.0.1", "192.0.2.1", "192.0.2.1");
    client(&proxies, "10.0.0.1", "192.0.2.1, 10.0.0.2,10.0.0.3", "192.0.2.1");
    // A client writes what it likes in front.
    client(&proxies, "10.0.0.1", "1.1.1.1, 192.0.2.1, 10.0.0.2", "192.0.2.1");
    client(&proxies, "10.0.0.1", "10.0.0.9, 192.0.2.1", "192.0.2.1");
    // Inside: all of them are proxies, the outermost is as good as a client.
    client(&proxies, "10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3");
    client(&proxies, "10.0.0.1", "192.0.2.1:4711", "192.0.2.1");
    client(&proxies, "10.0.0.1", "[2001:db9::1]:4711, [2001:db8::2]", "2001:db9::1");
    client(&proxies, "10.0.0.1", "2001:db9::1", "2001:db9::1");
    client(&proxies, "2001:db8::7", "::ffff:192.0.2.1", "192.0.2.1");
    // What cannot be read hides the rest.
    for junk in ["unknown", "_hidden", "192.0.2.1.5", "", "[::1", "1.2.3.4; drop"] {
        client(&proxies, "10.0.0.1", &format!("192.0.2.1, {junk}, 10.0.0.2"), "10.0.0.2");
    }
    // Of one who is not trusted nothing is read.
    client(&proxies, "192.0.2.9", "1.1.1.1", "192.0.2.9");
    client(&TrustedProxies::none(), "127.0.0.1", "1.1.1.1", "127.0.0.1");
    client(&TrustedProxies::addresses(["127.0.0.1".parse().unwrap()]), "127.0.0.1", "1.1.1.1", "1.1.1.1");
}

#[test]
fn several_headers_are_one_list() {
    let proxies = TrustedProxies::cidrs(["10.0.0.0/8"]);
    let headers = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "192.0.2.1, 10.0.0.2")];
    assert_eq!(told(&proxies, "10.0.0.1", &headers).0, "192.0.2.1");
}

#[test]
fn scheme_and_host_are_what_the_outermost_trusted_proxy_wrote() {
    let proxies = TrustedProxies::cidrs(["10.0.0.0/8"]);
    let with = |chain: &'static str, scheme: &'static str, host: &'static str| {
        let (_, host, secure) = told(
            &proxies,
            "10.0.0.1",
            &[("x-forwarded-for", chain), ("x-forwarded-proto", scheme), ("x-forwarded-host", host)],
        );
        (host, secure)
    };
    assert_eq!(with("192.0.2.1", "https", "a.example"), ("a.example".into(), true));
    assert_eq!(with("192.0.2.1", "HTTPS", "a.example:8443"), ("a.example:8443".into(), true));
    // The one in front speaks TLS with the client, the one behind it plain HTTP; both add to the lists.
    assert_eq!(with("192.0.2.1, 10.0.0.2", "https, http", "a.example, inner"), ("a.example".into(), true));
    // What a client put in front of them does not count.
    assert_eq!(with("x, 192.0.2.1, 10.0.0.2", "https, http, http", "evil, a, b"), ("a".into(), false));
    assert_eq!(with("192.0.2.1", "https, http", "evil, a"), ("a".into(), false));
    // Written anew by the last.
    assert_eq!(with("192.0.2.1, 10.0.0.2", "https", "a.example"), ("a.example".into(), true));
    assert_eq!(with("192.0.2.1", "http", "not a host"), ("-".into(), false));
    let only_scheme = told(&proxies, "10.0.0.1", &[("x-forwarded-proto", "https")]);
    assert_eq!(only_scheme, ("10.0.0.1".into(), "direct".into(), true));
    let foreign =
        told(&proxies, "192.0.2.1", &[("x-forwarded-proto", "https"), ("x-forwarded-host", "evil")]);
    assert_eq!(foreign, ("192.0.2.1".into(), "direct".into(), false));
}

#[test]
fn the_standard_header_is_read_instead_if_they_write_it() {
    let proxies = TrustedProxies::cidrs(["10.0.0.0/8"]).forwarded();
    let with = |value: &'static str| {
        told(&proxies, "10.0.0.1", &[("forwarded", value), ("x-forwarded-for", "6.6.6.6")])
    };
    assert_eq!(
        with("for=192.0.2.1;proto=https;host=a.example"),
        ("192.0.2.1".into(), "a.example".into(), true)
    );
    assert_eq!(
        with(
            r#"for=6.6.6.6, For="[2001:db8:cafe::17]:4711" ; Host="a.example:1", for=10.0.0.2;proto=http;by=x"#
        ),
        ("2001:db8:cafe::17".into(), "a.example:1".into(), false)
    );
    assert_eq!(with("for=192.0.2.1, for=unknown;proto=https"), ("10.0.0.1".into(), "direct".into(), true));
    assert_eq!(with(r#"for="192.0.2.1,6.6.6.6""#).0, "10.0.0.1");
    assert_eq!(with("proto=https").0, "10.0.0.1");
    assert_eq!(with(";;,=,for").0, "10.0.0.1");
    // And the other way round.
    let proxies = TrustedProxies::cidrs(["10.0.0.0/8"]);
    assert_eq!(told(&proxies, "10.0.0.1", &[("forwarded", "for=6.6.6.6")]).0, "10.0.0.1");
}
