//! The options of HTTP: proxies, addresses, the cookie, compression. What they are, what they mean, what they become.

use clap::Args;
use sockeye::{AddressLimits, Cookie, ServerBuilder, TrustedProxies};

use super::config::{Problems, number};

#[derive(Debug, Args)]
#[command(next_help_heading = "Proxies and HTTP")]
pub(crate) struct Http {
    /// Proxies and load balancers whose word counts about where a client is: addresses or networks, as in 10.0.0.0/8; or none.
    ///
    /// The words loopback, private and link-local stand for the networks of that kind. From these proxies X-Forwarded-For, -Proto and -Host
    /// are believed, which they must set or remove; from others they are not read. `none` says that clients connect directly. Only with one or
    /// the other are there limits for each client address.
    #[arg(long, env = "SOCKEYE_TRUSTED_PROXIES", value_name = "LIST", value_delimiter = ',')]
    trusted_proxies: Vec<String>,

    /// The trusted proxies begin each connection with a header of the PROXY protocol, version 1 or 2.
    ///
    /// Connections without one, and from other addresses, are closed.
    #[arg(long, env = "SOCKEYE_PROXY_PROTOCOL")]
    proxy_protocol: bool,

    /// New connections of one client address in a second, beyond a burst of ten times as many; 0 is no limit [default: 100, with
    /// --trusted-proxies].
    ///
    /// IPv6 addresses count by their /64 network.
    #[arg(long, env = "SOCKEYE_MAX_HANDSHAKES_PER_ADDRESS", value_name = "NUMBER")]
    max_handshakes_per_address: Option<String>,

    /// Connections of one client address at the same time; 0 is no limit [default: 10000, with --trusted-proxies].
    #[arg(long, env = "SOCKEYE_MAX_CONNECTIONS_PER_ADDRESS", value_name = "NUMBER")]
    max_connections_per_address: Option<String>,

    /// Set a cookie of this name to the connection's id, for a load balancer that goes by it.
    #[arg(long, env = "SOCKEYE_COOKIE", value_name = "NAME")]
    cookie: Option<String>,

    /// Compress answers of long-polling from this size on, if the client can read that; off for never.
    ///
    /// WebSocket messages are never compressed.
    #[arg(long, env = "SOCKEYE_COMPRESSION_THRESHOLD", value_name = "BYTES", default_value = "1024")]
    compression_threshold: String,
}

/// The same, checked.
#[derive(Debug)]
pub(crate) struct HttpSettings {
    pub(crate) proxies: Option<TrustedProxies>,
    pub(crate) proxy_protocol: bool,
    pub(crate) addresses: Option<AddressLimits>,
    pub(crate) cookie: Option<Cookie>,
    pub(crate) compression: Option<usize>,
}

impl HttpSettings {
    pub(super) fn new(http: Http, p: &mut Problems) -> Self {
        let proxies = p.take("--trusted-proxies", proxies(&http.trusted_proxies), None);
        let unknown = "needs --trusted-proxies, with the proxies that there are or the word none";
        if http.proxy_protocol && proxies.as_ref().is_none_or(TrustedProxies::is_empty) {
            p.note("--proxy-protocol", "needs --trusted-proxies with the addresses of those who speak it");
        }
        let mut limits = AddressLimits::default();
        let mut limited = false;
        if let Some(text) = http.max_handshakes_per_address.filter(|text| !text.is_empty()) {
            let rate: u32 = p.take("--max-handshakes-per-address", number(&text), 0);
            (limits.handshakes_per_second, limits.handshake_burst) = (rate, rate.saturating_mul(10));
            limited = true;
        }
        if let Some(text) = http.max_connections_per_address.filter(|text| !text.is_empty()) {
            limits.connections = p.take("--max-connections-per-address", number(&text), 0);
            limited = true;
        }
        if limited && proxies.is_none() {
            p.note("--max-handshakes-per-address, --max-connections-per-address", unknown);
        }
        let cookie = http.cookie.filter(|name| !name.is_empty()).map(Cookie::new);
        for problem in cookie.iter().flat_map(Cookie::problems) {
            p.note("--cookie", problem);
        }
        Self {
            proxies,
            proxy_protocol: http.proxy_protocol,
            addresses: limited.then_some(limits),
            cookie,
            compression: p.take("--compression-threshold", threshold(&http.compression_threshold), None),
        }
    }

    pub(crate) fn apply(&self, mut builder: ServerBuilder) -> ServerBuilder {
        if let Some(proxies) = &self.proxies {
            builder = builder.trusted_proxies(proxies.clone());
        }
        if let Some(limits) = self.addresses {
            builder = builder.address_limits(limits);
        }
        if let Some(cookie) = &self.cookie {
            builder = builder.cookie(cookie.clone());
        }
        builder.proxy_protocol(self.proxy_protocol).compression_threshold(self.compression)
    }
}

fn proxies(words: &[String]) -> Result<Option<TrustedProxies>, String> {
    let words: Vec<&str> = words.iter().map(|word| word.trim()).filter(|word| !word.is_empty()).collect();
    match words.as_slice() {
        [] => Ok(None),
        ["none"] => Ok(Some(TrustedProxies::none())),
        words if words.contains(&"none") => {
            Err("none means that there are none; leave out the others, or it".into())
        }
        words => {
            let proxies = TrustedProxies::cidrs(words);
            match proxies.problems() {
                [] => Ok(Some(proxies)),
                problems => Err(problems.join("; ")),
            }
        }
    }
}

fn threshold(text: &str) -> Result<Option<usize>, String> {
    match text {
        "off" => Ok(None),
        _ => text
            .parse()
            .map(Some)
            .map_err(|_| format!("`{text}` is no number of bytes; write one as in 1024, or off")),
    }
}
