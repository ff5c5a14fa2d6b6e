//! A client that says no more than the test tells it to.

use std::{net::SocketAddr, time::Duration};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

const PATIENCE: Duration = Duration::from_secs(60);

/// One client in the namespace `/`, over WebSocket.
pub(crate) struct Client {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Its Socket.IO id.
    pub(crate) id: String,
    /// The Engine.IO session's id, a secret.
    pub(crate) session: String,
    calls: u64,
}

impl Client {
    /// Connects and joins the namespace.
    pub(crate) async fn connect(address: SocketAddr, auth: Value) -> Self {
        let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
        let (stream, _) = connect_async(url).await.unwrap();
        let mut client = Self { stream, id: String::new(), session: String::new(), calls: 0 };
        let open: Value =
            serde_json::from_str(client.packet().await.unwrap().strip_prefix('0').unwrap()).unwrap();
        client.session = open["sid"].as_str().unwrap().to_owned();
        client.send(&format!("40{auth}")).await;
        let connected = client.packet().await.unwrap();
        let connected: Value = serde_json::from_str(connected.strip_prefix("40").unwrap()).unwrap();
        client.id = connected["sid"].as_str().unwrap().to_owned();
        client
    }

    async fn send(&mut self, text: &str) {
        self.stream.send(Message::text(text)).await.unwrap();
    }

    /// The next Engine.IO packet; `None` at the end of the connection.
    pub(crate) async fn packet(&mut self) -> Option<String> {
        loop {
            match timeout(PATIENCE, self.stream.next()).await.expect("nothing came") {
                Some(Ok(Message::Text(text))) => return Some(text.as_str().to_owned()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// Sends an event and waits for its ack: its one argument. Events that come meanwhile are lost.
    pub(crate) async fn call(&mut self, event: &str, argument: impl Into<Value>) -> Value {
        let mark = self.ask(event, argument).await;
        self.answer(mark).await
    }

    /// Sends an event that asks for an ack; [`answer`](Self::answer) waits for it.
    pub(crate) async fn ask(&mut self, event: &str, argument: impl Into<Value>) -> String {
        let id = self.calls;
        self.calls += 1;
        self.send(&format!("42{id}{}", json!([event, argument.into()]))).await;
        format!("43{id}[")
    }

    /// Waits for an ack.
    pub(crate) async fn answer(&mut self, mark: String) -> Value {
        loop {
            let packet = self.packet().await.expect("the connection ended");
            if packet.starts_with(&mark) {
                let args: Vec<Value> = serde_json::from_str(&packet[mark.len() - 1..]).unwrap();
                return args.into_iter().next().unwrap_or(Value::Null);
            }
        }
    }

    /// Waits for an event: its argument. An ack that is asked for is given.
    pub(crate) async fn event(&mut self, name: &str) -> Value {
        loop {
            let packet = self.packet().await.expect("the connection ended");
            let Some(rest) = packet.strip_prefix("42") else { continue };
            let (id, args) = rest.split_at(rest.find('[').unwrap());
            let args: Vec<Value> = serde_json::from_str(args).unwrap();
            if args[0] == name {
                if !id.is_empty() {
                    self.send(&format!("43{id}[]")).await;
                }
                return args.into_iter().nth(1).unwrap_or(Value::Null);
            }
        }
    }

    /// Leaves without a word.
    pub(crate) async fn close(mut self) {
        let _ = self.stream.close(None).await;
    }
}
