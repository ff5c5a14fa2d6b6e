//! A client that speaks Engine.IO and Socket.IO over long-polling by hand.

use std::{collections::VecDeque, net::SocketAddr};

use serde_json::Value;

use super::{Answer, Http};

/// One session: a connection for its GETs, and one for its POSTs.
pub(crate) struct Polling {
    /// The JSON of the OPEN packet.
    pub(crate) open: Value,
    /// The id in the namespace that was joined last.
    pub(crate) id: String,
    pub(crate) gets: Http,
    pub(crate) posts: Http,
    path: String,
    /// Packets that came together with others.
    pending: VecDeque<String>,
}

impl Polling {
    /// Opens a session and joins `/`.
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        let mut client = Self::open(addr).await;
        client.join("/").await;
        client
    }

    /// Opens a session, and joins nothing.
    pub(crate) async fn open(addr: SocketAddr) -> Self {
        Self::open_at(addr, "/socket.io/").await
    }

    /// The same at another endpoint.
    pub(crate) async fn open_at(addr: SocketAddr, path: &str) -> Self {
        Self::over_at(Http::connect(addr).await, Http::connect(addr).await, path).await
    }

    /// The same over connections of any kind.
    pub(crate) async fn over(gets: Http, posts: Http) -> Self {
        Self::over_at(gets, posts, "/socket.io/").await
    }

    async fn over_at(mut gets: Http, posts: Http, path: &str) -> Self {
        let answer = gets.get(&format!("{path}?EIO=4&transport=polling")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let open = answer.text().strip_prefix('0').expect("an OPEN packet");
        let open = serde_json::from_str(open).expect("JSON");
        Self { open, id: String::new(), gets, posts, path: path.to_owned(), pending: VecDeque::new() }
    }

    pub(crate) fn sid(&self) -> &str {
        self.open["sid"].as_str().expect("a sid")
    }

    pub(crate) fn target(&self) -> String {
        format!("{}?EIO=4&transport=polling&sid={}", self.path, self.sid())
    }

    pub(crate) async fn join(&mut self, namespace: &str) {
        let prefix = if namespace == "/" { String::new() } else { format!("{namespace},") };
        self.send(&format!("40{prefix}")).await;
        let answer = self.next().await;
        let json = answer.strip_prefix(&format!("40{prefix}")).unwrap_or_else(|| panic!("{answer:?}"));
        let json: Value = serde_json::from_str(json).expect("JSON");
        self.id = json["sid"].as_str().expect("a sid").to_owned();
    }

    /// A GET, whatever it is answered with.
    pub(crate) async fn get(&mut self) -> Answer {
        let target = self.target();
        self.gets.get(&target).await
    }

    /// Sends a GET without waiting for its answer: read it with `gets.answer()`.
    pub(crate) async fn begin_get(&mut self) {
        let target = self.target();
        self.gets.begin("GET", &target, &[], b"").await;
    }

    /// A POST, whatever it is answered with.
    pub(crate) async fn post(&mut self, body: &str) -> Answer {
        let target = self.target();
        self.posts.post(&target, body).await
    }

    /// Posts a payload, which is accepted.
    pub(crate) async fn send(&mut self, payload: &str) {
        let answer = self.post(payload).await;
        assert_eq!((answer.status, answer.text()), (200, "ok"));
    }

    /// The next packet; heartbeats are answered and not shown.
    pub(crate) async fn next(&mut self) -> String {
        loop {
            if let Some(packet) = self.pending.pop_front() {
                if packet == "2" {
                    self.send("3").await;
                    continue;
                }
                return packet;
            }
            let answer = self.get().await;
            assert_eq!(answer.status, 200, "{answer:?}");
            self.pending.extend(answer.text().split('\u{1e}').map(str::to_owned));
        }
    }

    /// A packet that came together with one that was read.
    pub(crate) fn take_pending(&mut self) -> Option<String> {
        self.pending.pop_front()
    }

    /// The next packet is this one.
    pub(crate) async fn expect(&mut self, packet: &str) {
        assert_eq!(self.next().await, packet);
    }

    /// The session is gone.
    pub(crate) async fn is_gone(&mut self) {
        let answer = self.get().await;
        assert_eq!((answer.status, answer.text()), (400, r#"{"code":1,"message":"Session ID unknown"}"#));
    }
}
