//! Which proxies are believed, and what they tell about a client.

use std::net::{IpAddr, Ipv6Addr};

use http::HeaderMap;

/// What is known about a request's sender, from the connection or from trusted proxies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told<'a> {
    pub(crate) client: Option<IpAddr>,
    pub(crate) host: Option<&'a str>,
    pub(crate) secure: bool,
}

impl Told<'_> {
    /// Without a host that is none.
    pub(crate) fn valid(self) -> Self {
        let fits = |host: &&str| {
            !host.is_empty()
                && host.len() <= 255
                && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte))
        };
        Self { host: self.host.filter(fits), ..self }
    }
}

/// The proxies between clients and this server. What they say about a client (its address, and the scheme and host that it
/// used) is believed; whatever anybody else says is not even read.
///
/// Read from right to left: the connection's own peer has to be trusted before its `X-Forwarded-For` counts, then each
/// address in it that is trusted gives way to the one before it. The first that is not trusted is the client. Scheme and host
/// come from `X-Forwarded-Proto` and `X-Forwarded-Host`, as the outermost trusted proxy wrote them. A proxy must set or remove all three:
/// one that it passes on as a client sent it would be believed, too.
///
/// A server without this setting believes nobody, with one exception: the check for [the same origin](crate::Cors) accepts what
/// `X-Forwarded-Host` and `X-Forwarded-Proto` say, as python-socketio does. No web page can send them to another origin, because the
/// browser would ask first and is refused. Once proxies are configured, or [`none`](Self::none) are said to exist, that ends.
///
/// ```
/// use sockeye::{Server, TrustedProxies};
///
/// let builder = Server::builder().trusted_proxies(TrustedProxies::cidrs(["10.0.0.0/8", "2001:db8::/32"]));
/// // Clients connect directly: nothing in between.
/// let builder = Server::builder().trusted_proxies(TrustedProxies::none());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<Network>,
    forwarded: bool,
    problems: Vec<String>,
}

impl TrustedProxies {
    /// There are no proxies: whoever connects is the client.
    pub fn none() -> Self {
        Self::default()
    }

    /// Proxies at these addresses.
    pub fn addresses(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let networks = addresses.into_iter().map(Network::single).collect();
        Self { networks, ..Self::default() }
    }

    /// Proxies at addresses and in networks written as text: `192.0.2.7`, `10.0.0.0/8`, `2001:db8::/32`. Three words stand for
    /// several networks: `loopback` (127.0.0.0/8, ::1), `private` (10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7) and
    /// `link-local` (169.254.0.0/16, fe80::/10). What is none of these is a problem that
    /// [`build`](crate::ServerBuilder::build) reports.
    pub fn cidrs<S: AsRef<str>>(cidrs: impl IntoIterator<Item = S>) -> Self {
        let mut proxies = Self::default();
        for text in cidrs {
            let text = &[text.as_ref().trim()];
            let networks: &[&str] = match text[0] {
                "loopback" => &["127.0.0.0/8", "::1"],
                "private" => &["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"],
                "link-local" => &["169.254.0.0/16", "fe80::/10"],
                _ => text,
            };
            for text in networks {
                match Network::parse(text) {
                    Some(network) => proxies.networks.push(network),
                    None => proxies.problems.push(format!(
                        "trusted proxy {text:?} is neither an address nor a network; write 192.0.2.7, 10.0.0.0/8, 2001:db8::/32, loopback or private"
                    )),
                }
            }
        }
        proxies
    }

    /// These proxies write the standard header `Forwarded` (RFC 7239); `X-Forwarded-*` is then not read. Only one of the two kinds may
    /// be believed: a proxy that writes one passes the other on as a client sent it.
    #[must_use]
    pub fn forwarded(mut self) -> Self {
        self.forwarded = true;
        self
    }

    /// What is wrong with these settings, one sentence each; empty if nothing is.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }

    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let address = bits(address);
        self.networks.iter().any(|network| network.contains(address))
    }

    /// What the proxies say, where `direct` is what the connection says.
    pub(crate) fn ask<'a>(&self, headers: &'a HeaderMap, direct: Told<'a>) -> Told<'a> {
        if !direct.client.is_some_and(|peer| self.contains(peer)) {
            return direct;
        }
        if self.forwarded {
            self.ask_forwarded(headers, direct)
        } else {
            self.ask_x_forwarded(headers, direct)
        }
    }

    fn ask_x_forwarded<'a>(&self, headers: &'a HeaderMap, direct: Told<'a>) -> Told<'a> {
        let mut told = direct;
        let mut hops = 0;
        for entry in from_right(headers, "x-forwarded-for") {
            // What cannot be read hides everything before it.
            let Some(address) = address(entry) else { break };
            told.client = Some(address);
            if !self.contains(address) {
                break;
            }
            hops += 1;
        }
        // A proxy may add to a list or write it anew: what stands as far left as the trusted ones reach, or the last there is.
        let at_hop = |name| {
            let mut entries = from_right(headers, name);
            let mut entry = entries.next()?;
            for further in entries.take(hops) {
                entry = further;
            }
            Some(entry)
        };
        if let Some(host) = at_hop("x-forwarded-host") {
            told.host = Some(host);
        }
        if let Some(scheme) = at_hop("x-forwarded-proto") {
            told.secure = is_secure(scheme);
        }
        told
    }

    fn ask_forwarded<'a>(&self, headers: &'a HeaderMap, direct: Told<'a>) -> Told<'a> {
        let mut told = direct;
        let values = headers.get_all("forwarded").iter().rev();
        let elements = values.flat_map(|value| {
            let mut elements: Vec<&str> = split(value.to_str().unwrap_or("?"), b',').collect();
            elements.reverse();
            elements
        });
        for element in elements {
            let mut client = None;
            for pair in split(element, b';') {
                let Some((name, value)) = pair.split_once('=') else { continue };
                let value = value.trim().trim_matches('"');
                match name.trim().to_ascii_lowercase().as_str() {
                    "for" => client = address(value),
                    "host" => told.host = Some(value),
                    "proto" => told.secure = is_secure(value),
                    _ => {}
                }
            }
            let Some(client) = client else { break };
            told.client = Some(client);
            if !self.contains(client) {
                break;
            }
        }
        told
    }
}

fn is_secure(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("wss")
}

/// The entries of a comma separated header, the last one first.
fn from_right<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter().rev();
    values.flat_map(|value| value.to_str().unwrap_or("?").rsplit(',')).map(str::trim)
}

/// Splits at a separator that is not within quotes.
fn split(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |letter: char| {
        quoted ^= letter == '"';
        !quoted && letter == char::from(separator)
    })
}

/// An address as proxies write it, with a port or without: `192.0.2.7:1`, `[2001:db8::1]:1`, `2001:db8::1`.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None if text.matches(':').count() == 1 => text.split_once(':')?.0,
        None => text,
    };
    Some(bare.parse::<IpAddr>().ok()?.to_canonical())
}

/// An address and how many of its first bits count; IPv4 as it is mapped into IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: u128,
    mask: u128,
}

impl Network {
    fn single(address: IpAddr) -> Self {
        Self { address: bits(address), mask: u128::MAX }
    }

    fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let length = length.unwrap_or(width);
        if length > width {
            return None;
        }
        let mask = u128::MAX.checked_shl(width - length).unwrap_or(0);
        let mask = if address.is_ipv4() { mask | !u128::from(u32::MAX) } else { mask };
        Some(Self { address: bits(address) & mask, mask })
    }

    fn contains(self, address: u128) -> bool {
        address & self.mask == self.address
    }
}

fn bits(address: IpAddr) -> u128 {
    let address: Ipv6Addr = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    address.to_bits()
}

#[cfg(test)]
#[path = "proxies_tests.rs"]
mod tests;
