//! HTTP/1.1 by hand, so that requests may be as wrong as a test wants them.

use std::{collections::HashMap, net::SocketAddr};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

use super::patient;

/// Anything that bytes go in and out of.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// One connection to a server; requests follow each other on it.
pub(crate) struct Http {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
    /// The answer says how long a body would be that does not come.
    head: bool,
}

/// What a server answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case; several of one name are joined with `, `.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).expect("the body is text")
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

impl Http {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.expect("the server accepts");
        stream.set_nodelay(true).expect("a TCP stream");
        Self::over(stream)
    }

    pub(crate) fn over(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), buffer: Vec::new(), head: false }
    }

    pub(crate) async fn get(&mut self, target: &str) -> Answer {
        self.request("GET", target, &[], b"").await
    }

    pub(crate) async fn post(&mut self, target: &str, body: &str) -> Answer {
        self.request("POST", target, &[("content-type", "text/plain;charset=UTF-8")], body.as_bytes()).await
    }

    /// A WebSocket handshake; 101 is an answer without a body.
    pub(crate) async fn upgrade(&mut self, target: &str, headers: &[(&str, &str)]) -> Answer {
        let handshake = [
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        self.request("GET", target, &[&handshake, headers].concat(), b"").await
    }

    pub(crate) async fn request(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        self.begin(method, target, headers, body).await;
        self.answer().await
    }

    /// Sends a request and does not wait for its answer.
    pub(crate) async fn begin(&mut self, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) {
        self.head = method == "HEAD";
        let mut head = format!("{method} {target} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| *name == "host") {
            head.push_str("host: test\r\n");
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() || method == "POST" {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(body);
        self.write(&bytes).await;
    }

    /// Sends bytes as they are. A server that has hung up already is not complained about: what it answered counts.
    pub(crate) async fn write(&mut self, bytes: &[u8]) {
        let _ = patient("the server to read", self.stream.write_all(bytes)).await;
        let _ = self.stream.flush().await;
    }

    /// The answer to a request.
    pub(crate) async fn answer(&mut self) -> Answer {
        patient("an HTTP answer", self.read_answer()).await.expect("a whole HTTP answer")
    }

    /// The answer to a request; `None` if the server hangs up instead.
    pub(crate) async fn answer_or_end(&mut self) -> Option<Answer> {
        patient("an HTTP answer, or the end", self.read_answer()).await
    }

    /// The same, however long it takes.
    pub(crate) async fn read_answer(&mut self) -> Option<Answer> {
        let mut answer = self.read_head().await?;
        let length = answer
            .header("content-length")
            .filter(|_| !self.head)
            .map_or(0, |length| length.parse().expect("a length"));
        assert_eq!(answer.header("transfer-encoding"), None, "no answer of ours is chunked");
        while self.buffer.len() < length {
            self.fill().await?;
        }
        answer.body = self.buffer.drain(..length).collect();
        Some(answer)
    }

    async fn read_head(&mut self) -> Option<Answer> {
        let head_end = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.fill().await?;
        };
        let head = String::from_utf8(self.buffer.drain(..head_end).collect()).expect("the head is text");
        let mut lines = head.lines();
        let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
        let mut headers: HashMap<String, String> = HashMap::new();
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let known = headers.entry(name.to_ascii_lowercase()).or_default();
            *known =
                if known.is_empty() { value.trim().to_owned() } else { format!("{known}, {}", value.trim()) };
        }
        Some(Answer { status, headers, body: Vec::new() })
    }

    async fn fill(&mut self) -> Option<()> {
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(()),
        }
    }

    /// Waits until the server hangs up; whatever it says until then is ignored.
    pub(crate) async fn ended(&mut self) {
        patient("the server to hang up", async { while self.fill().await.is_some() {} }).await;
    }

    /// Says that nothing more comes, and waits until the server has hung up, too.
    pub(crate) async fn hang_up(mut self) {
        let _ = self.stream.shutdown().await;
        self.ended().await;
    }

    /// The stream and what was read from it too early, to go on with another protocol.
    pub(crate) fn into_parts(self) -> (Box<dyn Stream>, Vec<u8>) {
        (self.stream, self.buffer)
    }
}
