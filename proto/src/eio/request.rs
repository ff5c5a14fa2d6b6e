//! What an HTTP request asks of Engine.IO.
//!
//! The order of the checks is that of the JavaScript server (`Server.verify`, then `handshake`), so that a request
//! with several faults gets the same answer from both.

use super::{Protocol, TransportKind, jsonp};

/// The method of a request, as far as Engine.IO tells them apart.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// Opens a session, polls it, or upgrades it.
    Get,
    /// Brings packets.
    Post,
    /// A preflight of CORS; answered before Engine.IO is asked.
    Options,
    /// Refused here; an HTTP layer may answer it.
    Head,
    /// Any other.
    Other,
}

/// A request that makes sense; whether its session exists is for the caller to find out.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Open a session.
    Open(Opening),
    /// Give me packets.
    Poll {
        /// The session's id as sent, not decoded.
        sid: &'a str,
    },
    /// Take packets.
    Post {
        /// The session's id as sent, not decoded.
        sid: &'a str,
    },
    /// Probe a WebSocket for a session that began with polling.
    Upgrade {
        /// The session's id as sent, not decoded.
        sid: &'a str,
        /// Whether the client takes binary messages as base64 on this WebSocket, see [`Opening::base64`].
        base64: bool,
    },
}

/// How a client wants a session to be.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The transport that it begins with.
    pub transport: TransportKind,
    /// The version that the client speaks.
    pub protocol: Protocol,
    /// Whether a client of version 3 takes binary messages as base64 only (`b64`, set to anything).
    pub base64: bool,
    /// The function that a polling client of version 3 wants to be called with its packets (`j`). It takes base64 only.
    pub jsonp: Option<jsonp::Index>,
}

impl Opening {
    /// A session of version 4.
    #[must_use]
    pub const fn v4(transport: TransportKind) -> Self {
        Self { transport, protocol: Protocol::V4, base64: false, jsonp: None }
    }
}

/// Why a request was refused, with the codes and words of the JavaScript server.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.message())]
pub enum RequestError {
    /// The transport is missing or is none that is offered.
    UnknownTransport,
    /// No session has this id.
    UnknownSid,
    /// A request without a session's id was not a GET.
    BadHandshakeMethod,
    /// Transport and request do not fit together.
    BadRequest,
    /// The application refused.
    Forbidden,
    /// The client speaks another version of Engine.IO.
    UnsupportedVersion,
}

impl RequestError {
    /// The number in the answer's JSON.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The HTTP status of the answer.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Forbidden => 403,
            _ => 400,
        }
    }

    /// The text in the answer.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::UnknownTransport => "Transport unknown",
            Self::UnknownSid => "Session ID unknown",
            Self::BadHandshakeMethod => "Bad handshake method",
            Self::BadRequest => "Bad request",
            Self::Forbidden => "Forbidden",
            Self::UnsupportedVersion => "Unsupported protocol version",
        }
    }

    /// The body of the answer to a polling request: `{"code":1,"message":"Session ID unknown"}`. (A refused WebSocket
    /// handshake is answered with [`RequestError::message`] as plain text.)
    #[must_use]
    pub fn json(self) -> String {
        format!("{{\"code\":{},\"message\":\"{}\"}}", self.code(), self.message())
    }
}

/// Reads what a request asks for.
///
/// `query` is the part of the URL behind `?`, `websocket_upgrade` says whether the request is a WebSocket handshake.
/// Unknown keys are ignored, and of repeated ones the first counts. Keys, `transport` and `EIO` may be
/// percent-encoded; a sid consists of characters that no client encodes, and one that is encoded is simply unknown.
///
/// With `allow_v3` a version of 3, or none, opens a session of Engine.IO 3.
///
/// # Errors
/// What a JavaScript server would answer: unknown transport before wrong method, before mismatched transport, before
/// version; the version is only checked when a session is opened. A JSONP function that is no number is a bad request
/// (JavaScript's server leaves out what is no digit).
pub fn parse(
    method: Method,
    query: &str,
    websocket_upgrade: bool,
    allow_v3: bool,
) -> Result<Request<'_>, RequestError> {
    let (mut transport, mut version, mut sid, mut b64, mut j) = (None, None, None, None, None);
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let slot = match () {
            () if decodes_to(key, "transport") => &mut transport,
            () if decodes_to(key, "EIO") => &mut version,
            () if decodes_to(key, "sid") => &mut sid,
            () if decodes_to(key, "b64") => &mut b64,
            () if decodes_to(key, "j") => &mut j,
            () => continue,
        };
        slot.get_or_insert(value);
    }

    let transport = match transport {
        Some(name) if decodes_to(name, "polling") => TransportKind::Polling,
        Some(name) if decodes_to(name, "websocket") => TransportKind::WebSocket,
        _ => return Err(RequestError::UnknownTransport),
    };
    let base64 = b64.is_some_and(|value| !value.is_empty());
    // Transport and kind of request must agree: a WebSocket cannot be polled, nor a polling transport upgraded to.
    let fits = websocket_upgrade == (transport == TransportKind::WebSocket);
    match (sid.filter(|sid| !sid.is_empty()), method, transport) {
        (None, Method::Get, _) if !fits => Err(RequestError::BadRequest),
        (None, Method::Get, transport) => match version {
            Some(version) if decodes_to(version, "4") => Ok(Request::Open(Opening::v4(transport))),
            None | Some("") if allow_v3 => open_v3(transport, base64, j),
            Some(version) if allow_v3 && decodes_to(version, "3") => open_v3(transport, base64, j),
            _ => Err(RequestError::UnsupportedVersion),
        },
        (None, _, _) => Err(RequestError::BadHandshakeMethod),
        (Some(_), _, _) if !fits => Err(RequestError::BadRequest),
        (Some(sid), Method::Get, TransportKind::Polling) => Ok(Request::Poll { sid }),
        (Some(sid), Method::Post, TransportKind::Polling) => Ok(Request::Post { sid }),
        (Some(sid), Method::Get, TransportKind::WebSocket) => Ok(Request::Upgrade { sid, base64 }),
        (Some(_), _, _) => Err(RequestError::BadRequest),
    }
}

fn open_v3<'a>(transport: TransportKind, base64: bool, j: Option<&str>) -> Result<Request<'a>, RequestError> {
    let jsonp = match j.filter(|_| transport == TransportKind::Polling) {
        Some(j) => Some(jsonp::Index::parse(j).ok_or(RequestError::BadRequest)?),
        None => None,
    };
    let base64 = base64 || jsonp.is_some();
    Ok(Request::Open(Opening { transport, protocol: Protocol::V3, base64, jsonp }))
}

/// Whether `raw` is `want` once percent-encoding is undone. A `%` without two hexadecimal digits stands for itself.
fn decodes_to(raw: &str, want: &str) -> bool {
    if raw.len() < want.len() {
        return false;
    }
    let mut raw = raw.as_bytes();
    let decoded = std::iter::from_fn(|| {
        let (byte, rest) = match raw {
            [b'%', high, low, rest @ ..] => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, rest),
                _ => (b'%', &raw[1..]),
            },
            [byte, rest @ ..] => (*byte, rest),
            [] => return None,
        };
        raw = rest;
        Some(byte)
    });
    decoded.eq(want.bytes())
}

fn digit(hex: u8) -> Option<u8> {
    char::from(hex).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use Method::{Get, Head, Options, Other, Post};
    use RequestError as E;

    /// Without Engine.IO 3.
    fn parse(method: Method, query: &str, upgrade: bool) -> Result<Request<'_>, RequestError> {
        super::parse(method, query, upgrade, false)
    }

    fn parse_v3(query: &str, upgrade: bool) -> Result<Opening, RequestError> {
        super::parse(Get, query, upgrade, true).map(|request| match request {
            Request::Open(opening) => opening,
            other => panic!("{other:?}"),
        })
    }

    #[track_caller]
    fn refused(method: Method, query: &str, upgrade: bool, why: RequestError) {
        assert_eq!(parse(method, query, upgrade), Err(why), "{method:?} {query}");
    }

    #[test]
    fn understands_the_four_requests() {
        assert_eq!(
            parse(Get, "EIO=4&transport=polling&t=cp6l4fgo", false),
            Ok(Request::Open(Opening::v4(TransportKind::Polling)))
        );
        assert_eq!(
            parse(Get, "EIO=4&transport=websocket", true),
            Ok(Request::Open(Opening::v4(TransportKind::WebSocket)))
        );
        assert_eq!(parse(Get, "EIO=4&transport=polling&sid=ab-_", false), Ok(Request::Poll { sid: "ab-_" }));
        assert_eq!(parse(Post, "EIO=4&transport=polling&sid=a", false), Ok(Request::Post { sid: "a" }));
        let upgrade = |base64| Ok(Request::Upgrade { sid: "a", base64 });
        assert_eq!(parse(Get, "EIO=4&transport=websocket&sid=a", true), upgrade(false));
        assert_eq!(parse(Get, "EIO=3&transport=websocket&sid=a&b64=1", true), upgrade(true));
    }

    #[test]
    fn version_three_may_be_allowed() {
        let polling = Opening { protocol: Protocol::V3, ..Opening::v4(TransportKind::Polling) };
        let websocket = Opening { transport: TransportKind::WebSocket, ..polling };
        for query in [
            "EIO=3&transport=polling&t=1",
            "transport=polling",
            "EIO=&transport=polling",
            "EIO=%33&transport=polling",
        ] {
            assert_eq!(parse_v3(query, false), Ok(polling), "{query}");
        }
        assert_eq!(parse_v3("EIO=3&transport=polling&b64=1", false), Ok(Opening { base64: true, ..polling }));
        assert_eq!(parse_v3("EIO=3&transport=polling&b64=", false), Ok(polling));
        assert_eq!(
            parse_v3("EIO=3&transport=websocket&b64=1", true),
            Ok(Opening { base64: true, ..websocket })
        );
        let jsonp = jsonp::Index::parse("7");
        assert!(jsonp.is_some());
        assert_eq!(
            parse_v3("EIO=3&transport=polling&j=7", false),
            Ok(Opening { base64: true, jsonp, ..polling })
        );
        assert_eq!(
            parse_v3("EIO=3&transport=websocket&j=7", true),
            Ok(websocket),
            "a WebSocket needs no script"
        );
        assert_eq!(
            parse_v3("EIO=4&transport=polling&j=x&b64=1", false),
            Ok(Opening::v4(TransportKind::Polling))
        );
        for query in ["EIO=2&transport=polling", "EIO=5&transport=polling", "EIO=33&transport=polling"] {
            assert_eq!(parse_v3(query, false), Err(E::UnsupportedVersion), "{query}");
        }
        for j in ["", "x", "0](alert(1));//", "-1", "%30", "1234567890"] {
            let query = format!("EIO=3&transport=polling&j={j}");
            assert_eq!(parse_v3(&query, false), Err(E::BadRequest), "{query}");
        }
    }

    /// Queries and answers as recorded from socket.io 4.8 (`http_errors`, `delete_method`).
    #[test]
    fn refuses_as_javascript_does() {
        refused(Get, "EIO=4&transport=carrier", false, E::UnknownTransport);
        refused(Get, "EIO=4", false, E::UnknownTransport);
        refused(Post, "EIO=4&transport=polling", false, E::BadHandshakeMethod);
        refused(Other, "EIO=4&transport=polling", false, E::BadHandshakeMethod);
        refused(Get, "EIO=3&transport=polling", false, E::UnsupportedVersion);
        refused(Get, "transport=polling", false, E::UnsupportedVersion);
        refused(Get, "EIO=5&transport=polling", false, E::UnsupportedVersion);
        refused(Get, "EIO=4&transport=websocket", false, E::BadRequest);
        // JavaScript says 500 here.
        refused(Other, "EIO=4&transport=polling&sid=a", false, E::BadRequest);
    }

    #[test]
    fn refuses_what_does_not_fit() {
        refused(Get, "EIO=4&transport=polling", true, E::BadRequest);
        refused(Get, "EIO=4&transport=polling&sid=a", true, E::BadRequest);
        refused(Get, "EIO=4&transport=websocket&sid=a", false, E::BadRequest);
        refused(Post, "EIO=4&transport=websocket&sid=a", false, E::BadRequest);
        refused(Post, "EIO=4&transport=websocket&sid=a", true, E::BadRequest);
        refused(Options, "EIO=4&transport=polling", false, E::BadHandshakeMethod);
        refused(Head, "EIO=4&transport=polling&sid=a", false, E::BadRequest);
        refused(Get, "", false, E::UnknownTransport);
    }

    #[test]
    fn survives_odd_queries() {
        let open = Ok(Request::Open(Opening::v4(TransportKind::Polling)));
        for query in [
            "EIO=4&EIO=3&transport=polling&transport=x",
            "&&EIO=4&transport=polling&=&==&sid",
            "EIO=4&transport=polling&sid=&sid=late",
            "EIO=4&transport=polling&sid[]=a&constructor=1&__proto__=2",
            "EIO=%34&%74ransport=p%6Flling&sid%00=a",
            "x=%&y=%f&z=%zz&ü=é&EIO=4&transport=polling",
        ] {
            assert_eq!(parse(Get, query, false), open, "{query}");
        }
        for query in ["EIO=%2534&transport=polling", "EIO=4%&transport=polling", "eio=4&transport=polling"] {
            refused(Get, query, false, E::UnsupportedVersion);
        }
        assert_eq!(
            parse(Get, "sid=a%2Fb&transport=polling", false),
            Ok(Request::Poll { sid: "a%2Fb" }),
            "a sid is never decoded"
        );
    }

    #[test]
    fn errors_look_like_javascripts() {
        assert_eq!(E::UnknownSid.json(), r#"{"code":1,"message":"Session ID unknown"}"#);
        assert_eq!(E::UnsupportedVersion.json(), r#"{"code":5,"message":"Unsupported protocol version"}"#);
        assert_eq!((E::UnknownTransport.code(), E::Forbidden.code()), (0, 4));
        assert_eq!((E::BadRequest.status(), E::Forbidden.status()), (400, 403));
        assert_eq!(E::BadRequest.to_string(), "Bad request");
    }
}
