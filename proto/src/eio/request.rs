//! What an HTTP request asks of Engine.IO.
//!
//! The order of the checks is that of the JavaScript server (`Server.verify`, then `handshake`), so that a request
//! with several faults gets the same answer from both.

use super::TransportKind;

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
    Open {
        /// The transport that it begins with.
        transport: TransportKind,
    },
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
    },
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
/// # Errors
/// What a JavaScript server would answer: unknown transport before wrong method, before mismatched transport, before
/// version; the version is only checked when a session is opened.
pub fn parse(method: Method, query: &str, websocket_upgrade: bool) -> Result<Request<'_>, RequestError> {
    let (mut transport, mut version, mut sid) = (None, None, None);
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let slot = match () {
            () if decodes_to(key, "transport") => &mut transport,
            () if decodes_to(key, "EIO") => &mut version,
            () if decodes_to(key, "sid") => &mut sid,
            () => continue,
        };
        slot.get_or_insert(value);
    }

    let transport = match transport {
        Some(name) if decodes_to(name, "polling") => TransportKind::Polling,
        Some(name) if decodes_to(name, "websocket") => TransportKind::WebSocket,
        _ => return Err(RequestError::UnknownTransport),
    };
    // Transport and kind of request must agree: a WebSocket cannot be polled, nor a polling transport upgraded to.
    let fits = websocket_upgrade == (transport == TransportKind::WebSocket);
    match (sid.filter(|sid| !sid.is_empty()), method, transport) {
        (None, Method::Get, _) if !fits => Err(RequestError::BadRequest),
        (None, Method::Get, _) if !version.is_some_and(|v| decodes_to(v, "4")) => {
            Err(RequestError::UnsupportedVersion)
        }
        (None, Method::Get, transport) => Ok(Request::Open { transport }),
        (None, _, _) => Err(RequestError::BadHandshakeMethod),
        (Some(_), _, _) if !fits => Err(RequestError::BadRequest),
        (Some(sid), Method::Get, TransportKind::Polling) => Ok(Request::Poll { sid }),
        (Some(sid), Method::Post, TransportKind::Polling) => Ok(Request::Post { sid }),
        (Some(sid), Method::Get, TransportKind::WebSocket) => Ok(Request::Upgrade { sid }),
        (Some(_), _, _) => Err(RequestError::BadRequest),
    }
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

    #[track_caller]
    fn refused(method: Method, query: &str, upgrade: bool, why: RequestError) {
        assert_eq!(parse(method, query, upgrade), Err(why), "{method:?} {query}");
    }

    #[test]
    fn understands_the_four_requests() {
        assert_eq!(
            parse(Get, "EIO=4&transport=polling&t=cp6l4fgo", false),
            Ok(Request::Open { transport: TransportKind::Polling })
        );
        assert_eq!(
            parse(Get, "EIO=4&transport=websocket", true),
            Ok(Request::Open { transport: TransportKind::WebSocket })
        );
        assert_eq!(parse(Get, "EIO=4&transport=polling&sid=ab-_", false), Ok(Request::Poll { sid: "ab-_" }));
        assert_eq!(parse(Post, "EIO=4&transport=polling&sid=a", false), Ok(Request::Post { sid: "a" }));
        assert_eq!(parse(Get, "EIO=4&transport=websocket&sid=a", true), Ok(Request::Upgrade { sid: "a" }));
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
        let open = Ok(Request::Open { transport: TransportKind::Polling });
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
