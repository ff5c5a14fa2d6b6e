//! HTTP/1.1, the client's side: the upgrade request, keep-alive requests, whole responses.

/// The key of every handshake. It protects nobody, so it need not be random.
const KEY: &str = "c29ja2V5ZSBsb2FkdGVzdA==";
/// What a server answers to [`KEY`].
const ACCEPT: &str = "OYkSQRnMdyksfrtME3uCy62yPyg=";

/// The request that opens a WebSocket.
#[must_use]
pub fn upgrade_request(host: &str, path: &str) -> Vec<u8> {
    format!(
        "GET {path}?EIO=4&transport=websocket HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .into_bytes()
}

/// A GET without a body; `target` is path and query.
#[must_use]
pub fn get_request(host: &str, target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n").into_bytes()
}

/// The head of a POST of text, up to the value of its content length, which [`finish_post`] adds.
#[must_use]
pub fn post_head(host: &str, target: &str) -> Vec<u8> {
    format!(
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\nContent-Type: text/plain;charset=UTF-8\r\nContent-Length: "
    )
    .into_bytes()
}

/// Adds length and body to a [`post_head`].
pub fn finish_post(out: &mut Vec<u8>, body: &[u8]) {
    out.extend_from_slice(body.len().to_string().as_bytes());
    out.extend_from_slice(b"\r\n\r\n");
    out.extend_from_slice(body);
}

/// The head of a response.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Head<'a> {
    /// The status code.
    pub status: u16,
    /// The header lines, without the status line.
    lines: &'a [u8],
    /// Bytes of the head, the empty line included.
    pub len: usize,
}

/// A whole response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Response<'a> {
    /// The status code.
    pub status: u16,
    /// The body, put together if it came in chunks.
    pub body: std::borrow::Cow<'a, [u8]>,
    /// The server closes the connection behind this response.
    pub last: bool,
    /// Bytes of the response, head included.
    pub len: usize,
}

/// What the bytes are not: HTTP that we understand.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct BadResponse(pub &'static str);

impl<'a> Head<'a> {
    /// Finds a response head at the beginning of `bytes`; `None` when it is not whole yet.
    ///
    /// # Errors
    /// When it does not begin like HTTP/1, or is longer than 64 KiB.
    pub fn parse(bytes: &'a [u8]) -> Result<Option<Self>, BadResponse> {
        let begin = &bytes[..bytes.len().min(7)];
        if !b"HTTP/1.".starts_with(begin) {
            return Err(BadResponse("an answer that is not HTTP/1"));
        }
        let Some(end) = find(bytes, b"\r\n\r\n") else {
            return if bytes.len() > 64 * 1024 {
                Err(BadResponse("a response head of more than 64 KiB"))
            } else {
                Ok(None)
            };
        };
        let status = bytes
            .get(9..12)
            .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok())
            .ok_or(BadResponse("a status line without a status"))?;
        let first = find(bytes, b"\r\n").unwrap_or(end);
        Ok(Some(Self { status, lines: bytes.get(first + 2..end).unwrap_or_default(), len: end + 4 }))
    }

    /// The value of the first header of this name (any case), without blanks around it.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.lines.split(|&byte| byte == b'\n').find_map(|line| {
            let colon = line.iter().position(|&byte| byte == b':')?;
            line[..colon]
                .eq_ignore_ascii_case(name.as_bytes())
                .then(|| std::str::from_utf8(&line[colon + 1..]).ok())?
                .map(str::trim)
        })
    }

    /// Whether this is the answer that opens our WebSocket, or what is wrong with it.
    ///
    /// # Errors
    /// The status line's code, or the part of the handshake that does not fit.
    pub fn check_upgrade(&self) -> Result<(), String> {
        if self.status != 101 {
            return Err(format!("HTTP {} instead of 101 Switching Protocols", self.status));
        }
        match self.header("sec-websocket-accept") {
            Some(ACCEPT) => Ok(()),
            other => Err(format!("Sec-WebSocket-Accept is {other:?}, not {ACCEPT}")),
        }
    }
}

/// Finds a whole response at the beginning of `bytes`; `None` when it is not there as a whole yet.
///
/// # Errors
/// When it is not HTTP, or its length is not given.
pub fn response(bytes: &[u8]) -> Result<Option<Response<'_>>, BadResponse> {
    let Some(head) = Head::parse(bytes)? else {
        return Ok(None);
    };
    let last = head.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let rest = &bytes[head.len..];
    let chunked = head.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
    let whole = if chunked {
        dechunk(rest)?.map(|(body, len)| (body.into(), len))
    } else {
        let len = head
            .header("content-length")
            .and_then(|value| value.parse::<usize>().ok())
            .ok_or(BadResponse("a response that does not say its length"))?;
        rest.get(..len).map(|body| (body.into(), len))
    };
    Ok(whole.map(|(body, len)| Response { status: head.status, body, last, len: head.len + len }))
}

/// The body behind a chunked head, and how many bytes it took.
fn dechunk(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, BadResponse> {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let Some(line) = find(&bytes[at..], b"\r\n") else {
            return Ok(None);
        };
        let digits = bytes[at..at + line].split(|&byte| byte == b';').next();
        let size = digits
            .and_then(|digits| usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok())
            .filter(|&size| size < 1 << 31)
            .ok_or(BadResponse("a chunk without a length"))?;
        at += line + 2;
        let Some(chunk) = bytes.get(at..at + size + 2) else {
            return Ok(None);
        };
        if chunk[size..] != *b"\r\n" {
            return Err(BadResponse("a chunk longer than it says"));
        }
        at += size + 2;
        if size == 0 {
            return Ok(Some((body, at)));
        }
        body.extend_from_slice(&chunk[..size]);
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_with_a_length() {
        let bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nX: y\r\n\r\nokHTTP";
        let response = response(bytes).expect("valid").expect("whole");
        assert_eq!(&*response.body, b"ok");
        assert_eq!((response.status, response.last, response.len), (200, false, bytes.len() - 4));
        for cut in 0..bytes.len() - 5 {
            assert_eq!(super::response(&bytes[..cut]), Ok(None), "cut at {cut}");
        }
    }

    #[test]
    fn a_response_in_chunks() {
        let bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA;x=1\r\n0123456789\r\n0\r\n\r\n";
        let response = response(bytes).expect("valid").expect("whole");
        assert_eq!(&*response.body, b"abc0123456789");
        assert_eq!(response.len, bytes.len());
        for cut in 0..bytes.len() {
            assert_eq!(super::response(&bytes[..cut]), Ok(None), "cut at {cut}");
        }
    }

    #[test]
    fn what_is_not_a_response_is_an_error() {
        for bytes in [
            b"SSH-2.0-x\r\n".as_slice(),
            b"HTTP/1.1 xyz\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ] {
            assert!(response(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn the_upgrade_is_checked() {
        let answer = |status: &str, accept: &str| {
            let text = format!("HTTP/1.1 {status} X\r\nsec-websocket-accept:  {accept} \r\n\r\nrest");
            let head = Head::parse(text.as_bytes()).expect("valid").expect("whole");
            assert_eq!(&text[head.len..], "rest");
            head.check_upgrade()
        };
        assert_eq!(answer("101", ACCEPT), Ok(()));
        assert!(answer("101", "else").is_err());
        assert!(answer("400", ACCEPT).is_err_and(|why| why.contains("400")));
    }
}
