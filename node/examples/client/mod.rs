//! As much of a client as the programs here need.

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

pub(crate) type Error = Box<dyn std::error::Error + Send + Sync>;

/// One connection over a WebSocket. Heartbeats are answered and not shown.
pub(crate) struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    pub(crate) async fn open(url: &str) -> Result<Self, Error> {
        let (socket, _) = connect_async(url).await?;
        let mut client = Self(socket);
        client.next().await?;
        Ok(client)
    }

    /// Joins `/`; returns the socket's id.
    pub(crate) async fn join(&mut self) -> Result<String, Error> {
        self.send("40".into()).await?;
        let answer = self.next().await?;
        Ok(answer.split('"').nth(3).ok_or("no sid")?.to_owned())
    }

    pub(crate) async fn send(&mut self, text: String) -> Result<(), Error> {
        Ok(self.0.send(Message::text(text)).await?)
    }

    /// Sends so many packets, and reads as many answers meanwhile.
    pub(crate) async fn all(&mut self, n: usize, packet: impl Fn(usize) -> String) -> Result<(), Error> {
        let (mut sent, mut answered) = (0, 0);
        while answered < n {
            while sent < n && sent - answered < 256 {
                self.0.feed(Message::text(packet(sent))).await?;
                sent += 1;
            }
            self.0.flush().await?;
            self.next().await?;
            answered += 1;
        }
        Ok(())
    }

    /// The next packet but heartbeats.
    pub(crate) async fn next(&mut self) -> Result<String, Error> {
        loop {
            match self.0.next().await.ok_or("the server closed")?? {
                Message::Text(text) if text.as_str() == "2" => self.send("3".into()).await?,
                Message::Text(text) => return Ok(text.to_string()),
                Message::Close(_) => return Err("the server closed".into()),
                _ => {}
            }
        }
    }
}
