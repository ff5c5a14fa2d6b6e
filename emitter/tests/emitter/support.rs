//! A real Redis server, a subscriber that speaks its protocol itself, and patience.

#![allow(dead_code, reason = "each test program uses a part of it")]

use bytes::Bytes;
use sockeye_proto::{
    Limits,
    bus::{Envelope, native, python},
};
use std::{
    future::Future,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

/// How long something that has to happen may take on a busy machine. Nothing waits this long when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A port that nobody uses, below those that the kernel gives to clients.
pub(crate) fn free_port() -> u16 {
    let found = std::iter::repeat_with(|| rand::random_range(10_000..32_000))
        .take(1000)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    found.expect("a free port between 10000 and 32000")
}

/// Waits for a future that has to resolve.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(done) => done,
        Err(_) => panic!("not within {PATIENCE:?}: {what}"),
    }
}

pub(crate) fn send_signal(process: u32, signal: &str) {
    let sent = Command::new("kill").arg(format!("-{signal}")).arg(process.to_string()).status();
    assert!(sent.expect("kill").success());
}

// === Redis ===

/// A server of its own for one test, which ends with it. It writes nothing to disk.
pub(crate) struct Redis {
    pub(crate) port: u16,
    options: Vec<String>,
    server: Option<Child>,
}

impl Redis {
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// With more options for the server.
    pub(crate) fn with(options: &[&str]) -> Self {
        let mut redis = Self::absent();
        redis.options = options.iter().map(|option| (*option).to_owned()).collect();
        for _ in 0..10 {
            if redis.try_start() {
                return redis;
            }
            // Somebody took the port meanwhile.
            redis.port = free_port();
        }
        panic!("redis-server does not start on any port");
    }

    /// One that is not running yet.
    pub(crate) fn absent() -> Self {
        Self { port: free_port(), options: Vec::new(), server: None }
    }

    pub(crate) fn start_again(&mut self) {
        assert!(self.try_start(), "redis-server does not start on port {} again", self.port);
    }

    fn try_start(&mut self) -> bool {
        let port = self.port.to_string();
        let server = Command::new("redis-server")
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(&self.options)
            .current_dir(scratch())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("these tests need redis-server (Debian: apt-get install redis-server): {error}")
            });
        let server = self.server.insert(server);
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if answers(self.port) {
                return true;
            }
            if server.try_wait().expect("a child").is_some() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    pub(crate) fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().expect("a running server");
            server.wait().expect("its end");
        }
    }

    /// Sends a signal to the server: `STOP` freezes it.
    pub(crate) fn signal(&self, signal: &str) {
        let server = self.server.as_ref().expect("a running server");
        send_signal(server.id(), signal);
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Hears these channels.
    pub(crate) async fn subscribe(&self, channels: &[&str]) -> Subscriber {
        Subscriber::open(self.port, channels).await
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// Whether a Redis answers, whatever it says: it may want a password first.
fn answers(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let mut answer = [0; 1];
    stream.write_all(b"PING\r\n").is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && matches!(answer[0], b'+' | b'-')
}

fn scratch() -> PathBuf {
    std::env::temp_dir()
}

// === The subscriber ===

/// Speaks Redis' protocol itself, so that what it hears went through none of the code under test.
pub(crate) struct Subscriber {
    stream: BufReader<tokio::net::TcpStream>,
}

impl Subscriber {
    /// Waits for the server, too.
    pub(crate) async fn open(port: u16, channels: &[&str]) -> Self {
        let stream = soon("a connection to Redis", async {
            loop {
                match tokio::net::TcpStream::connect(("127.0.0.1", port)).await {
                    Ok(stream) => break stream,
                    Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
                }
            }
        })
        .await;
        let mut subscriber = Self { stream: BufReader::new(stream) };
        let command = format!("SUBSCRIBE {}\r\n", channels.join(" "));
        subscriber.stream.write_all(command.as_bytes()).await.expect("sent");
        for channel in channels {
            let confirmed = subscriber.push().await.expect("a confirmation");
            assert_eq!(confirmed[..2], [Bytes::from("subscribe"), Bytes::from((*channel).to_owned())]);
        }
        subscriber
    }

    /// The next message: on which channel, and what.
    pub(crate) async fn next(&mut self) -> (String, Bytes) {
        soon("a message", self.try_next()).await.expect("an open connection")
    }

    /// `None`: the server is gone.
    pub(crate) async fn try_next(&mut self) -> Option<(String, Bytes)> {
        let push = self.push().await?;
        assert_eq!((push[0].as_ref(), push.len()), (b"message".as_slice(), 3));
        Some((String::from_utf8(push[1].to_vec()).expect("a name"), push[2].clone()))
    }

    /// The next message of an emitter in the native dialect.
    pub(crate) async fn native(&mut self) -> Envelope {
        let (channel, payload) = self.next().await;
        assert!(channel.ends_with(":sockeye"), "{channel}");
        native::decode(&payload, &Limits::default()).expect("a message")
    }

    /// The next message of an emitter in Python's dialect.
    pub(crate) async fn python(&mut self) -> python::Incoming {
        let (channel, payload) = self.next().await;
        assert_eq!(channel, "socketio");
        python::decode(&payload, &Limits::default()).expect("a message")
    }

    /// An array of strings; numbers become text.
    async fn push(&mut self) -> Option<Vec<Bytes>> {
        let length = self.header(b'*').await?;
        let mut parts = Vec::with_capacity(length);
        for _ in 0..length {
            let line = self.line().await?;
            let (kind, rest) = line.split_at(1);
            if kind == ":" {
                parts.push(rest.to_owned().into());
                continue;
            }
            assert_eq!(kind, "$");
            let mut text = vec![0; rest.parse::<usize>().expect("a length") + 2];
            self.stream.read_exact(&mut text).await.ok()?;
            text.truncate(text.len() - 2);
            parts.push(text.into());
        }
        Some(parts)
    }

    async fn header(&mut self, kind: u8) -> Option<usize> {
        let line = self.line().await?;
        assert_eq!(line.as_bytes()[0], kind, "{line}");
        Some(line[1..].parse().expect("a length"))
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line).await {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
        }
    }
}
