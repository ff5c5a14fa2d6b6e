//! The PROXY protocol, versions 1 and 2: what a TCP load balancer writes in front of a client's bytes, so that the server knows whose
//! they are (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::error::DecodeError;

/// The most that a header may have, in bytes. The longest of version 1 has 107; in version 2 this is far more than what load
/// balancers add.
pub const MAX_HEADER: usize = 4096;

const V1: &[u8] = b"PROXY ";
const V1_MAX: usize = 107;
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED: usize = 16;
/// A piece of version 2 that tells about TLS, and its bit for "the client spoke TLS".
const TLV_SSL: u8 = 0x20;
const CLIENT_SSL: u8 = 0x01;

/// What a load balancer says about a connection.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ProxyHeader {
    /// The client. `None` if the connection is the load balancer's own, such as a health check, or if it does not know.
    pub source: Option<SocketAddr>,
    /// Whether the client speaks TLS with the load balancer, which only version 2 can tell.
    pub tls: bool,
    /// How many bytes the header has; the client's begin there.
    pub len: usize,
}

/// Reads the header at the beginning of a connection; `None` if it is not complete yet. Everything that was given then belongs to it.
///
/// # Errors
/// [`DecodeError::BadProxyHeader`] as soon as it cannot become one, [`DecodeError::ProxyHeaderTooLong`] if it has more than
/// [`MAX_HEADER`] bytes.
pub fn parse(bytes: &[u8]) -> Result<Option<ProxyHeader>, DecodeError> {
    if begins(bytes, V2) {
        version2(bytes)
    } else if begins(bytes, V1) {
        version1(bytes)
    } else {
        Err(DecodeError::BadProxyHeader)
    }
}

/// Whether one is the beginning of the other.
fn begins(bytes: &[u8], signature: &[u8]) -> bool {
    bytes.iter().zip(signature).all(|(one, other)| one == other)
}

fn version1(bytes: &[u8]) -> Result<Option<ProxyHeader>, DecodeError> {
    let Some(end) = bytes.iter().take(V1_MAX).position(|byte| *byte == b'\n') else {
        return if bytes.len() < V1_MAX { Ok(None) } else { Err(DecodeError::ProxyHeaderTooLong) };
    };
    let line = str::from_utf8(&bytes[..end]).ok().and_then(|line| line.strip_suffix('\r'));
    let line = line.and_then(|line| line.strip_prefix("PROXY ")).ok_or(DecodeError::BadProxyHeader)?;
    let source = line_source(line).ok_or(DecodeError::BadProxyHeader)?;
    Ok(Some(ProxyHeader { source, tls: false, len: end + 1 }))
}

/// `TCP4 source destination port port`; the outer `None` if it is malformed.
fn line_source(line: &str) -> Option<Option<SocketAddr>> {
    let mut words = line.split(' ');
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(None);
    }
    let address = |text: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => Some(text.parse::<Ipv4Addr>().ok()?.into()),
            "TCP6" => Some(text.parse::<Ipv6Addr>().ok()?.into()),
            _ => None,
        }
    };
    let port = |text: &str| -> Option<u16> {
        let canonical =
            text.bytes().all(|byte| byte.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
        if canonical { text.parse().ok() } else { None }
    };
    let source = address(words.next()?)?;
    address(words.next()?)?;
    let source_port = port(words.next()?)?;
    port(words.next()?)?;
    match words.next() {
        None => Some(Some(SocketAddr::new(source, source_port))),
        Some(_) => None,
    }
}

fn version2(bytes: &[u8]) -> Result<Option<ProxyHeader>, DecodeError> {
    let Some(fixed) = bytes.first_chunk::<V2_FIXED>() else {
        // What is wrong so far stays wrong.
        let version = bytes.get(V2.len());
        return if version.is_none_or(|byte| byte >> 4 == 2) {
            Ok(None)
        } else {
            Err(DecodeError::BadProxyHeader)
        };
    };
    let [.., command, family, high, low] = *fixed;
    if command >> 4 != 2 || command & 0x0f > 1 {
        return Err(DecodeError::BadProxyHeader);
    }
    let len = V2_FIXED + usize::from(u16::from_be_bytes([high, low]));
    if len > MAX_HEADER {
        return Err(DecodeError::ProxyHeaderTooLong);
    }
    let Some(rest) = bytes.get(V2_FIXED..len) else { return Ok(None) };
    if command & 0x0f == 0 {
        return Ok(Some(ProxyHeader { source: None, tls: false, len }));
    }
    let (source, tlvs) = binary_source(family, rest).ok_or(DecodeError::BadProxyHeader)?;
    let tls = speaks_tls(tlvs).ok_or(DecodeError::BadProxyHeader)?;
    Ok(Some(ProxyHeader { source, tls, len }))
}

/// The client, and what stands behind the addresses.
fn binary_source(family: u8, rest: &[u8]) -> Option<(Option<SocketAddr>, &[u8])> {
    match family {
        // TCP over IPv4, over IPv6.
        0x11 => {
            let (addresses, tlvs) = rest.split_first_chunk::<12>()?;
            let [a, b, c, d, _, _, _, _, high, low, _, _] = *addresses;
            let address = SocketAddr::from((Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low])));
            Some((Some(address), tlvs))
        }
        0x21 => {
            let (addresses, tlvs) = rest.split_first_chunk::<36>()?;
            let source: [u8; 16] = *addresses.first_chunk()?;
            let port = u16::from_be_bytes([addresses[32], addresses[33]]);
            Some((Some(SocketAddr::from((Ipv6Addr::from(source), port))), tlvs))
        }
        // Unix sockets have two names of 108 bytes.
        0x31 => Some((None, rest.get(216..)?)),
        0x00 => Some((None, &[])),
        _ => None,
    }
}

/// `None` if the pieces do not end where they should.
fn speaks_tls(mut tlvs: &[u8]) -> Option<bool> {
    let mut tls = false;
    while let Some((kind, rest)) = tlvs.split_first() {
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        if *kind == TLV_SSL {
            tls |= value.first()? & CLIENT_SSL != 0;
        }
        tlvs = rest;
    }
    Some(tls)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [V2, &[command, family], &length, rest].concat()
    }

    const IPV4: &[u8] = &[192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x34, 0x01, 0xbb];

    #[track_caller]
    fn good(header: &[u8], source: Option<&str>, tls: bool) {
        let expected =
            ProxyHeader { source: source.map(|text| text.parse().unwrap()), tls, len: header.len() };
        assert_eq!(parse(header), Ok(Some(expected)));
        // What follows is not touched, and nothing less is enough.
        assert_eq!(parse(&[header, b"GET / HTTP/1.1\r\n\r\n"].concat()), Ok(Some(expected)));
        for end in 0..header.len() {
            assert_eq!(parse(&header[..end]), Ok(None), "{end} bytes");
        }
    }

    #[track_caller]
    fn bad(header: &[u8]) {
        assert_eq!(parse(header), Err(DecodeError::BadProxyHeader), "{:?}", String::from_utf8_lossy(header));
    }

    #[test]
    fn version_1() {
        good(b"PROXY TCP4 192.0.2.1 10.0.0.1 56324 443\r\n", Some("192.0.2.1:56324"), false);
        good(
            b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
            Some("255.255.255.255:65535"),
            false,
        );
        good(b"PROXY TCP6 2001:db8::1 ::1 0 1\r\n", Some("[2001:db8::1]:0"), false);
        good(b"PROXY UNKNOWN\r\n", None, false);
        good(b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", None, false);
        for line in [
            "PROXY TCP4 192.0.2.1 10.0.0.1 1 2\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 1\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 1 2 3\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 1 65536\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 +1 2\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1 01 2\r\n",
            "PROXY TCP4 192.0.2.1 10.0.0.1  2\r\n",
            "PROXY TCP4 192.0.2.256 10.0.0.1 1 2\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY TCP6 192.0.2.1 10.0.0.1 1 2\r\n",
            "PROXY TCP5 192.0.2.1 10.0.0.1 1 2\r\n",
            "PROXY  192.0.2.1 10.0.0.1 1 2\r\n",
            "PROXY \r\n",
            "GET / HTTP/1.1\r\n",
            "proxy TCP4 192.0.2.1 10.0.0.1 1 2\r\n",
            "PROXYTCP4",
        ] {
            bad(line.as_bytes());
        }
        bad(b"PROXY TCP4 \xff\r\n");
        let endless = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat();
        assert_eq!(parse(&endless[..V1_MAX - 1]), Ok(None));
        assert_eq!(parse(&endless[..V1_MAX]), Err(DecodeError::ProxyHeaderTooLong));
    }

    #[test]
    fn version_2() {
        good(&v2(0x21, 0x11, IPV4), Some("192.0.2.1:4660"), false);
        let mut ipv6 = [0; 36];
        ipv6[..2].copy_from_slice(&[0x20, 0x01]);
        ipv6[15] = 7;
        ipv6[32..34].copy_from_slice(&[0, 80]);
        good(&v2(0x21, 0x21, &ipv6), Some("[2001::7]:80"), false);
        good(&v2(0x21, 0x31, &[b'/'; 216]), None, false);
        good(&v2(0x21, 0x00, b"whatever"), None, false);
        good(&v2(0x20, 0x00, b""), None, false);
        good(&v2(0x20, 0xff, b"whatever"), None, false);
        for (pieces, tls) in [
            (&b"\x04\x00\x02ab"[..], false),
            (b"\x20\x00\x05\x01\0\0\0\0", true),
            (b"\x20\x00\x05\x06\0\0\0\0", false),
            (b"\x01\x00\x02h2\x20\x00\x06\x03\0\0\0\0!\x04\x00\x00", true),
        ] {
            good(&v2(0x21, 0x11, &[IPV4, pieces].concat()), Some("192.0.2.1:4660"), tls);
        }
        for pieces in
            [&b"\x04"[..], b"\x04\x00", b"\x04\x00\x01", b"\x20\x00\x00", b"\x04\x00\x00\x05\xff\xff"]
        {
            bad(&v2(0x21, 0x11, &[IPV4, pieces].concat()));
        }
        bad(&v2(0x11, 0x11, IPV4));
        bad(&v2(0x22, 0x11, IPV4));
        bad(&v2(0x21, 0x12, IPV4));
        bad(&v2(0x21, 0x41, IPV4));
        bad(&v2(0x21, 0x11, &IPV4[..11]));
        bad(&v2(0x21, 0x21, IPV4));
        bad(&v2(0x21, 0x31, &[0; 215]));
        bad(&[V2, &[0x31]].concat());
        bad(b"\r\n\r\nGET");
        let long = [V2, &[0x21, 0x11, 0xff, 0xff]].concat();
        assert_eq!(parse(&long), Err(DecodeError::ProxyHeaderTooLong));
        good(&v2(0x20, 0, &[0; MAX_HEADER - V2_FIXED]), None, false);
    }
}
