//! A bus driver of your own in one file: a toy broker that speaks length-prefixed frames over TCP, its driver, and the
//! checks that every driver has to pass.
//!
//! ```text
//! cargo run -p sockeye-bus --features conformance --example custom_driver
//! ```
//! A driver only connects, sends and receives. Retries, buffers, subscribing again and probes come with the bus.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use parking_lot::Mutex;
use sockeye_bus::{
    BoxFuture, Caps, Delivery, Driver, Error, ErrorKind, Inbound, Link, Outbound, Rx, SendError, Topic, Tx,
    conformance::{self, Report},
};
use std::{collections::HashMap, io, net::SocketAddr, process::ExitCode, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
};

#[tokio::main]
async fn main() -> ExitCode {
    match check().await {
        Ok(report) => {
            print!("{report}");
            if report.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("the toy broker did not start: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs all checks on the driver below, with broken links too.
pub async fn check() -> io::Result<Report> {
    let (address, cut) = Hub::start().await?;
    let make = move || Box::new(Toy { address }) as Box<dyn Driver>;
    let cut = move || -> BoxFuture<'static, ()> {
        cut.send_modify(|age| *age += 1);
        Box::pin(async {})
    };
    Ok(conformance::run_with_cut(make, cut).await)
}

// ---- the wire: u32 length of the rest, u8 kind, u8 length of the topic, topic, payload -------------------------------

const SUBSCRIBE: u8 = 1;
const PUBLISH: u8 = 2;
/// The broker's answer to both; its payload is the number of receivers as a u64.
const DONE: u8 = 3;
const MESSAGE: u8 = 4;

const MAX_PAYLOAD: usize = 16 << 20;

struct Frame {
    kind: u8,
    topic: Bytes,
    payload: Bytes,
}

fn write_frame(out: &mut BytesMut, kind: u8, topic: &[u8], payload: &[u8]) {
    out.put_u32((2 + topic.len() + payload.len()) as u32);
    out.put_u8(kind);
    out.put_u8(topic.len() as u8);
    out.put_slice(topic);
    out.put_slice(payload);
}

/// Reads frames. What was read and is no whole frame yet stays in the buffer, which makes `frame` cancel-safe.
struct Frames {
    stream: TcpStream,
    buffer: BytesMut,
}

impl Frames {
    fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: BytesMut::new() }
    }

    async fn frame(&mut self) -> io::Result<Frame> {
        loop {
            if let Some(frame) = self.ready()? {
                return Ok(frame);
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn ready(&mut self) -> io::Result<Option<Frame>> {
        let Some(length) = self.buffer.get(..4).and_then(|l| l.try_into().ok()).map(u32::from_be_bytes)
        else {
            return Ok(None);
        };
        let length = length as usize;
        if !(2..=MAX_PAYLOAD + 300).contains(&length) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if self.buffer.len() < 4 + length {
            return Ok(None);
        }
        self.buffer.advance(4);
        let mut rest = self.buffer.split_to(length).freeze();
        let (kind, topic) = (rest.get_u8(), rest.get_u8() as usize);
        if topic > rest.len() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let topic = rest.split_to(topic);
        Ok(Some(Frame { kind, topic, payload: rest }))
    }
}

// ---- the driver ------------------------------------------------------------------------------------------------------

/// Where the toy broker is. One connection publishes, another one listens.
struct Toy {
    address: SocketAddr,
}

impl Toy {
    async fn open(&self) -> Result<Frames, Error> {
        let stream = TcpStream::connect(self.address).await;
        let stream = stream.map_err(|e| Error::caused(ErrorKind::Connect, "the toy broker", e))?;
        stream.set_nodelay(true).map_err(lost)?;
        Ok(Frames::new(stream))
    }
}

impl Driver for Toy {
    fn caps(&self) -> Caps {
        Caps {
            direct: true,
            cheap_topics: true,
            replay: None,
            ordered: true,
            max_payload: Some(MAX_PAYLOAD),
            echoes_own: true,
            counts_receivers: true,
        }
    }

    fn connect<'a>(&'a self, subscribe: &'a [Topic]) -> BoxFuture<'a, Result<Link, Error>> {
        Box::pin(async move {
            let tx = Box::new(Sender { frames: self.open().await? });
            if subscribe.is_empty() {
                return Ok(Link { tx, rx: None });
            }
            let mut frames = self.open().await?;
            let mut out = BytesMut::new();
            for topic in subscribe {
                write_frame(&mut out, SUBSCRIBE, name(topic).as_bytes(), b"");
            }
            frames.stream.write_all(&out).await.map_err(lost)?;
            let mut receiver = Receiver { frames, early: Vec::new() };
            // The link is open when every subscription is in force, and messages may come before the last of them is.
            let mut in_force = 0;
            while in_force < subscribe.len() {
                let frame = receiver.frames.frame().await.map_err(lost)?;
                match frame.kind {
                    DONE => in_force += 1,
                    _ => receiver.early.push(frame),
                }
            }
            Ok(Link { tx, rx: Some(Box::new(receiver)) })
        })
    }

    fn describe(&self) -> String {
        format!("toy://{}", self.address)
    }
}

struct Sender {
    frames: Frames,
}

impl Sender {
    async fn answer(&mut self) -> io::Result<Delivery> {
        let mut payload = self.frames.frame().await?.payload;
        Ok(Delivery { receivers: payload.try_get_u64().ok() })
    }
}

impl Tx for Sender {
    fn send<'a>(
        &'a mut self,
        batch: &'a [Outbound],
    ) -> BoxFuture<'a, Result<Vec<Result<Delivery, Error>>, SendError>> {
        Box::pin(async move {
            let mut out = BytesMut::new();
            for message in batch {
                write_frame(&mut out, PUBLISH, name(&message.topic).as_bytes(), &message.payload);
            }
            let written = self.frames.stream.write_all(&out).await;
            written.map_err(|e| SendError { sent: 0, error: lost(e) })?;
            let mut answers = Vec::with_capacity(batch.len());
            for sent in 0..batch.len() {
                let answer = self.answer().await.map_err(|e| SendError { sent, error: lost(e) })?;
                answers.push(Ok(answer));
            }
            Ok(answers)
        })
    }
}

struct Receiver {
    frames: Frames,
    early: Vec<Frame>,
}

impl Rx for Receiver {
    fn recv(&mut self) -> BoxFuture<'_, Result<Inbound, Error>> {
        Box::pin(async move {
            loop {
                let frame = if self.early.is_empty() {
                    self.frames.frame().await.map_err(lost)?
                } else {
                    self.early.remove(0)
                };
                if let Some(topic) = topic(&frame.topic) {
                    return Ok(Inbound { topic, payload: frame.payload });
                }
            }
        })
    }
}

fn name(topic: &Topic) -> String {
    match topic {
        Topic::All => "all".to_owned(),
        Topic::Node(id) => format!("node.{id}"),
        Topic::Channel => "channel".to_owned(),
    }
}

fn topic(name: &[u8]) -> Option<Topic> {
    match std::str::from_utf8(name).ok()? {
        "all" => Some(Topic::All),
        "channel" => Some(Topic::Channel),
        name => name.strip_prefix("node.").map(Topic::node),
    }
}

fn lost(error: io::Error) -> Error {
    Error::caused(ErrorKind::Lost, "the toy broker", error)
}

// ---- the broker ------------------------------------------------------------------------------------------------------

type Subscribers = HashMap<Bytes, Vec<mpsc::Sender<Bytes>>>;

/// Hands what is published to a topic to everybody who subscribed to it.
#[derive(Default)]
struct Hub {
    subscribers: Mutex<Subscribers>,
}

impl Hub {
    /// Listens on a port of its own. Whenever the age changes, all connections are ended.
    async fn start() -> io::Result<(SocketAddr, watch::Sender<u64>)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let age = watch::Sender::new(0);
        let ages = age.clone();
        let hub = Arc::new(Self::default());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (hub, mut age) = (Arc::clone(&hub), ages.subscribe());
                tokio::spawn(async move {
                    tokio::select! {
                        _ = hub.serve(stream) => {}
                        _ = age.changed() => {}
                    }
                });
            }
        });
        Ok((address, age))
    }

    async fn serve(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut frames = Frames::new(stream);
        let (sender, mut messages) = mpsc::channel::<Bytes>(1024);
        let mut out = BytesMut::new();
        loop {
            tokio::select! {
                frame = frames.frame() => {
                    let frame = frame?;
                    let receivers = match frame.kind {
                        SUBSCRIBE => self.subscribe(frame.topic, sender.clone()),
                        _ => self.publish(&frame).await,
                    };
                    write_frame(&mut out, DONE, b"", &receivers.to_be_bytes());
                }
                Some(message) = messages.recv() => out.put_slice(&message),
            }
            frames.stream.write_all(&out).await?;
            out.clear();
        }
    }

    fn subscribe(&self, topic: Bytes, subscriber: mpsc::Sender<Bytes>) -> u64 {
        self.subscribers.lock().entry(topic).or_default().push(subscriber);
        0
    }

    /// A slow subscriber makes the publisher wait, and nobody else.
    async fn publish(&self, frame: &Frame) -> u64 {
        let mut message = BytesMut::new();
        write_frame(&mut message, MESSAGE, &frame.topic, &frame.payload);
        let message = message.freeze();
        let subscribers = self.subscribers.lock().get(&frame.topic).cloned().unwrap_or_default();
        let mut receivers = 0;
        for subscriber in subscribers {
            match subscriber.send(message.clone()).await {
                Ok(()) => receivers += 1,
                Err(_) => self.forget(&frame.topic),
            }
        }
        receivers
    }

    fn forget(&self, topic: &Bytes) {
        if let Some(subscribers) = self.subscribers.lock().get_mut(topic) {
            subscribers.retain(|s| !s.is_closed());
        }
    }
}
