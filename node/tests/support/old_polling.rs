//! A client that speaks Engine.IO 3 over long-polling by hand.

use std::{collections::VecDeque, net::SocketAddr};

use serde_json::Value;
use sockeye_proto::eio::payload_v3::{Piece, decode_octets, decode_text, push_text};

use super::{Answer, Http};

/// One session, with whatever was in its first query.
pub(crate) struct OldPolling {
    /// The JSON of the OPEN packet.
    pub(crate) open: Value,
    pub(crate) gets: Http,
    pub(crate) posts: Http,
    query: String,
    pending: VecDeque<String>,
}

/// A packet as the body of a POST.
pub(crate) fn payload(packet: &str) -> String {
    let mut out = Vec::new();
    push_text(packet, &mut out);
    String::from_utf8(out).expect("text")
}

impl OldPolling {
    /// Opens a session; `query` is what is said besides the version and the transport, as in `&b64=1`.
    pub(crate) async fn open(addr: SocketAddr, query: &str) -> Self {
        Self::open_at(addr, "/socket.io/", query).await
    }

    /// The same at another endpoint.
    pub(crate) async fn open_at(addr: SocketAddr, path: &str, query: &str) -> Self {
        let query = format!("{path}?EIO=3&transport=polling{query}");
        let (mut gets, posts) = (Http::connect(addr).await, Http::connect(addr).await);
        let answer = gets.get(&query).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let open = packets(&answer).remove(0);
        let open = serde_json::from_str(open.strip_prefix('0').expect("an OPEN packet")).expect("JSON");
        Self { open, gets, posts, query, pending: VecDeque::new() }
    }

    pub(crate) fn sid(&self) -> &str {
        self.open["sid"].as_str().expect("a sid")
    }

    pub(crate) fn target(&self) -> String {
        format!("{}&sid={}", self.query, self.sid())
    }

    /// A GET, whatever it is answered with.
    pub(crate) async fn get(&mut self) -> Answer {
        let target = self.target();
        self.gets.get(&target).await
    }

    /// A POST of text, whatever it is answered with.
    pub(crate) async fn post(&mut self, body: &str) -> Answer {
        let target = self.target();
        self.posts.post(&target, body).await
    }

    /// A POST of octets, which is accepted.
    pub(crate) async fn post_octets(&mut self, body: &[u8]) {
        let target = self.target();
        let kind = [("content-type", "application/octet-stream")];
        let answer = self.posts.request("POST", &target, &kind, body).await;
        assert_eq!((answer.status, answer.text()), (200, "ok"));
    }

    /// Posts a body, which is accepted.
    pub(crate) async fn post_ok(&mut self, body: &str) {
        let answer = self.post(body).await;
        assert_eq!((answer.status, answer.text()), (200, "ok"));
    }

    /// Posts one packet.
    pub(crate) async fn send(&mut self, packet: &str) {
        self.post_ok(&payload(packet)).await;
    }

    /// The next packet; binary ones as `b4` and base64.
    pub(crate) async fn next(&mut self) -> String {
        loop {
            if let Some(packet) = self.pending.pop_front() {
                return packet;
            }
            let answer = self.get().await;
            assert_eq!(answer.status, 200, "{answer:?}");
            self.pending.extend(packets(&answer));
        }
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

/// The packets of an answer, whatever its form.
pub(crate) fn packets(answer: &Answer) -> Vec<String> {
    let text = |piece: Piece<'_>| match piece {
        Piece::Text(text) => text.to_owned(),
        Piece::Binary(data) => {
            let mut out = Vec::new();
            sockeye_proto::eio::packet::encode_binary_v3(
                data.strip_prefix(&[4]).expect("a message"),
                &mut out,
            );
            String::from_utf8(out).expect("base64")
        }
    };
    match answer.header("content-type") {
        Some("application/octet-stream") => {
            decode_octets(&answer.body, 99).map(|piece| text(piece.expect("a payload"))).collect()
        }
        Some("text/plain; charset=UTF-8") => {
            decode_text(answer.text(), 99).map(|piece| text(piece.expect("a payload"))).collect()
        }
        Some("text/javascript; charset=UTF-8") => {
            let string = answer.text().split_once('(').and_then(|(_, rest)| rest.strip_suffix(");"));
            let payload: String = serde_json::from_str(string.expect("one call")).expect("a string");
            decode_text(&payload, 99).map(|piece| text(piece.expect("a payload"))).collect()
        }
        other => panic!("no payload: {other:?}"),
    }
}
