//! A client that speaks Engine.IO and Socket.IO over a WebSocket by hand.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error, Message, client::IntoClientRequest, http},
};

use super::{http::Stream, patient};

const QUERY: &str = "EIO=4&transport=websocket";

/// What came in one WebSocket message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Frame {
    Text(String),
    Binary(Vec<u8>),
    /// The server closed; with its code, if it gave one.
    Closed(Option<u16>),
}

type Socket = WebSocketStream<Box<dyn Stream>>;
type Received = Result<Message, Error>;

/// The connection below a client.
enum Wire {
    /// Read by a task of its own as soon as something comes, and left as soon as the server closes: as clients do.
    Pumped { commands: UnboundedSender<Command>, messages: UnboundedReceiver<Received> },
    /// Read only when the test reads.
    Lazy(Box<Socket>),
}

enum Command {
    Message(Message),
    Bytes(Vec<u8>),
}

impl Wire {
    fn pumped(mut socket: Socket) -> Self {
        let (commands, mut wanted) = unbounded_channel();
        let (received, messages) = unbounded_channel();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    command = wanted.recv() => {
                        let _ = match command {
                            Some(Command::Message(message)) => socket.send(message).await,
                            Some(Command::Bytes(bytes)) => socket.get_mut().write_all(&bytes).await.map_err(Error::Io),
                            None => return,
                        };
                    }
                    message = socket.next() => {
                        let over = !matches!(message, Some(Ok(ref message)) if !message.is_close());
                        if let Some(message) = message {
                            let _ = received.send(message);
                        }
                        if over {
                            return;
                        }
                    }
                }
            }
        });
        Self::Pumped { commands, messages }
    }

    /// What a server that has hung up does not take is not complained about: what it said before counts.
    async fn send(&mut self, command: Command) {
        match (self, command) {
            (Self::Pumped { commands, .. }, command) => {
                let _ = commands.send(command);
            }
            (Self::Lazy(socket), Command::Message(message)) => {
                let _ = patient("the server to read", socket.send(message)).await;
            }
            (Self::Lazy(socket), Command::Bytes(bytes)) => {
                let _ = patient("the server to read", socket.get_mut().write_all(&bytes)).await;
            }
        }
    }

    async fn next(&mut self) -> Option<Received> {
        match self {
            Self::Pumped { messages, .. } => messages.recv().await,
            Self::Lazy(socket) => socket.next().await,
        }
    }
}

/// One WebSocket connection. Heartbeats are answered and not shown, unless a test wants to see them.
pub(crate) struct Client {
    wire: Wire,
    /// The JSON of the OPEN packet; null on a probe.
    pub(crate) open: Value,
    /// The id in the namespace that was joined last.
    pub(crate) id: String,
    pub(crate) shows_pings: bool,
    calls: u64,
}

impl Client {
    /// Connects and joins `/`.
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self::connect_to(addr, "/").await
    }

    /// Connects and joins a namespace.
    pub(crate) async fn connect_to(addr: SocketAddr, namespace: &str) -> Self {
        let mut client = Self::open(addr).await;
        client.join(namespace, "").await;
        client
    }

    /// Connects, and joins nothing.
    pub(crate) async fn open(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.expect("the server accepts");
        stream.set_nodelay(true).expect("a TCP stream");
        Self::open_over(stream).await
    }

    /// A client that reads nothing from its stream before the test reads it.
    pub(crate) async fn open_lazy(stream: impl Stream + 'static) -> Self {
        let request =
            format!("ws://test/socket.io/?{QUERY}").into_client_request().expect("a URL without faults");
        let stream: Box<dyn Stream> = Box::new(stream);
        let (socket, _) =
            patient("a WebSocket handshake", client_async(request, stream)).await.expect("a WebSocket");
        let mut client = Self::over(Wire::Lazy(Box::new(socket)));
        client.read_open().await;
        client
    }

    fn over(wire: Wire) -> Self {
        Self { wire, open: Value::Null, id: String::new(), shows_pings: false, calls: 0 }
    }

    pub(crate) async fn open_over(stream: impl Stream + 'static) -> Self {
        let mut client =
            Self::handshake(stream, QUERY, &[]).await.unwrap_or_else(|answer| panic!("refused: {answer:?}"));
        client.read_open().await;
        client
    }

    /// Connects at another endpoint than `/socket.io/`.
    pub(crate) async fn open_at(addr: SocketAddr, path: &str) -> Self {
        let stream = TcpStream::connect(addr).await.expect("the server accepts");
        let mut client = Self::handshake_at(stream, path, QUERY, &[])
            .await
            .unwrap_or_else(|answer| panic!("refused: {answer:?}"));
        client.read_open().await;
        client
    }

    pub(crate) async fn read_open(&mut self) {
        let open = self.text().await;
        let json = open.strip_prefix('0').unwrap_or_else(|| panic!("{open:?} is no OPEN packet"));
        self.open = serde_json::from_str(json).expect("JSON");
    }

    /// A second transport for a session that uses long-polling.
    pub(crate) async fn probe(addr: SocketAddr, sid: &str) -> Result<Self, http::Response<Option<Vec<u8>>>> {
        let stream = TcpStream::connect(addr).await.expect("the server accepts");
        stream.set_nodelay(true).expect("a TCP stream");
        Self::probe_over(stream, sid).await
    }

    pub(crate) async fn probe_over(
        stream: impl Stream + 'static,
        sid: &str,
    ) -> Result<Self, http::Response<Option<Vec<u8>>>> {
        Self::handshake(stream, &format!("{QUERY}&sid={sid}"), &[]).await
    }

    /// A WebSocket with any query and further headers; the answer if it is none.
    pub(crate) async fn handshake(
        stream: impl Stream + 'static,
        query: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, http::Response<Option<Vec<u8>>>> {
        Self::handshake_at(stream, "/socket.io/", query, headers).await
    }

    /// The same at another endpoint.
    pub(crate) async fn handshake_at(
        stream: impl Stream + 'static,
        path: &str,
        query: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, http::Response<Option<Vec<u8>>>> {
        let mut request =
            format!("ws://test{path}?{query}").into_client_request().expect("a URL without faults");
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a header value"));
        }
        let stream: Box<dyn Stream> = Box::new(stream);
        match patient("a WebSocket handshake", client_async(request, stream)).await {
            Ok((socket, _)) => Ok(Self::over(Wire::pumped(socket))),
            Err(Error::Http(answer)) => Err(*answer),
            Err(error) => panic!("no WebSocket: {error}"),
        }
    }

    /// The Engine.IO session id.
    pub(crate) fn sid(&self) -> &str {
        self.open["sid"].as_str().expect("the OPEN packet was read")
    }

    /// Joins a namespace; `auth` is JSON or empty. Its id is [`id`](Self::id) from then on.
    pub(crate) async fn join(&mut self, namespace: &str, auth: &str) {
        let prefix = prefix(namespace);
        self.send(&format!("40{prefix}{auth}")).await;
        let answer = self.text().await;
        let json = answer
            .strip_prefix(&format!("40{prefix}"))
            .unwrap_or_else(|| panic!("{answer:?} does not say that {namespace} is joined"));
        let json: Value = serde_json::from_str(json).expect("JSON");
        self.id = json["sid"].as_str().expect("a sid").to_owned();
    }

    // === sending ===

    pub(crate) async fn send(&mut self, text: &str) {
        self.send_raw(Message::text(text)).await;
    }

    pub(crate) async fn send_binary(&mut self, data: &[u8]) {
        self.send_raw(Message::binary(data.to_vec())).await;
    }

    /// Any WebSocket message.
    pub(crate) async fn send_raw(&mut self, message: Message) {
        self.wire.send(Command::Message(message)).await;
    }

    /// Bytes below the WebSocket, masked by nobody.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.wire.send(Command::Bytes(bytes.to_vec())).await;
    }

    /// Writes the same bytes below the WebSocket again and again, until the server does not read on or all are written.
    /// For lazy clients, of whom the server wants to know nothing.
    pub(crate) async fn flood(&mut self, bytes: &[u8], times: usize) {
        let Wire::Lazy(socket) = &mut self.wire else { panic!("a client that reads") };
        for _ in 0..times {
            let writing = socket.get_mut().write_all(bytes);
            if tokio::time::timeout(std::time::Duration::from_millis(200), writing).await.is_err() {
                return;
            }
        }
    }

    /// Hangs up without a word.
    pub(crate) fn vanish(self) {}

    // === receiving ===

    /// The next message.
    pub(crate) async fn next(&mut self) -> Frame {
        loop {
            let frame = match patient("a WebSocket message", self.wire.next()).await {
                Some(Ok(Message::Text(text))) => Frame::Text(text.to_string()),
                Some(Ok(Message::Binary(data))) => Frame::Binary(data.to_vec()),
                Some(Ok(Message::Close(frame))) => Frame::Closed(frame.map(|frame| frame.code.into())),
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => Frame::Closed(None),
            };
            if frame == Frame::Text("2".into()) && !self.shows_pings {
                self.send("3").await;
                continue;
            }
            return frame;
        }
    }

    /// The data of the next message, which is WebSocket's own pong.
    pub(crate) async fn pong(&mut self) -> Vec<u8> {
        match patient("a pong", self.wire.next()).await {
            Some(Ok(Message::Pong(data))) => data.to_vec(),
            other => panic!("expected a pong, got {other:?}"),
        }
    }

    /// The next message, which is a text.
    pub(crate) async fn text(&mut self) -> String {
        match self.next().await {
            Frame::Text(text) => text,
            other => panic!("expected text, got {other:?}"),
        }
    }

    /// The next message is this text.
    pub(crate) async fn expect(&mut self, text: &str) {
        let next = self.next().await;
        assert_eq!(next, Frame::Text(text.to_owned()));
    }

    /// The next message is binary and this.
    pub(crate) async fn expect_binary(&mut self, data: &[u8]) {
        let next = self.next().await;
        assert_eq!(next, Frame::Binary(data.to_vec()));
    }

    /// The server closes next, without another message. Returns its close code.
    pub(crate) async fn closed(&mut self) -> Option<u16> {
        match self.next().await {
            Frame::Closed(code) => code,
            other => panic!("expected the end, got {other:?}"),
        }
    }

    /// The server closes sooner or later; what it sends until then is returned.
    pub(crate) async fn until_closed(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        loop {
            match self.next().await {
                Frame::Closed(_) => return frames,
                frame => frames.push(frame),
            }
        }
    }

    // === Socket.IO ===

    /// Asks for an ack in `/`; returns its arguments. Nothing else may come before it.
    pub(crate) async fn call(&mut self, event: &str, args: &str) -> Value {
        self.calls += 1;
        let id = 1_000_000 + self.calls;
        let comma = if args.is_empty() { "" } else { "," };
        self.send(&format!("42{id}[\"{event}\"{comma}{args}]")).await;
        let answer = self.text().await;
        let json = answer
            .strip_prefix(&format!("43{id}"))
            .unwrap_or_else(|| panic!("{answer:?} is not the ack of {event}"));
        serde_json::from_str(json).expect("JSON")
    }

    /// Everything that the server sent before this moment has been read by the test: a handler `sync` answers, and its
    /// answer is the next thing that comes.
    pub(crate) async fn sync(&mut self) {
        assert_eq!(self.call("sync", "").await, serde_json::json!([]));
    }
}

fn prefix(namespace: &str) -> String {
    if namespace == "/" { String::new() } else { format!("{namespace},") }
}

/// A frame as a client makes it, with a mask that changes nothing.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        small @ 0..=125 => frame.push(0x80 | small as u8),
        medium @ 126..=0xffff => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        large => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(large as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}
