//! The one task of a WebSocket connection: it reads, and it writes when nobody else can.
//!
//! Others write to the socket as well (the flusher, under the outbox's lock), but only this task may wait for the socket:
//! a stream has one waker for each direction.

use std::{
    cell::RefCell,
    io::{self, Read},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use socket2::SockRef;
use sockeye_proto::{
    eio::session::Lane,
    error::DecodeError,
    ws::{Decoder, Flow, Frame, Opcode, close_frame, write_frame},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Interest, ReadBuf},
    net::TcpStream,
};

use super::{
    Backlog, Conn, Received,
    outbox::{Drained, SCRATCH},
};
use crate::{log, reason::DisconnectReason};

/// One read takes at most this much.
const READ: usize = 64 * 1024;

thread_local! {
    /// Idle connections own no buffer: whoever reads borrows its thread's. Never held over an await.
    static BUFFERS: RefCell<Buffers> = RefCell::new(Buffers { read: vec![0; READ], write: Vec::with_capacity(SCRATCH) });
}

struct Buffers {
    read: Vec<u8>,
    write: Vec<u8>,
}

/// What the reader remembers between two polls: a frame's beginning, and input that has to wait.
pub(crate) struct Reader {
    decoder: Decoder,
    held: Option<Box<Held>>,
    /// The client is not read from, which its heartbeat must not suffer from.
    paused: bool,
    /// The client closed the WebSocket: nothing of it is unread.
    said_goodbye: bool,
    /// A close frame with a code is queued already.
    close_sent: bool,
}

/// Input that has to wait: for handlers, or until the client has read some of what it asked for.
struct Held {
    input: Vec<u8>,
    backlog: Option<Arc<dyn Backlog>>,
}

impl Reader {
    /// Goes on with a decoder that may be in the middle of a frame.
    pub(crate) fn new(decoder: Decoder) -> Self {
        Self { decoder, held: None, paused: false, said_goodbye: false, close_sent: false }
    }

    /// Decodes and handles `input`; true while the connection lives.
    pub(crate) fn feed(&mut self, conn: &Arc<Conn>, input: &mut [u8]) -> bool {
        let max_payload = conn.engine.config.session.max_payload;
        let mut alive = true;
        let mut full = None;
        let fed = self.decoder.feed(input, max_payload, |frame: Frame<'_>| {
            let received = match frame {
                Frame::Text(text) => conn.receive_text(Lane::Main, text),
                Frame::Binary(data) => conn.receive_binary(Lane::Main, data),
                Frame::Ping(data) => {
                    conn.pong(data);
                    Received::Handled
                }
                Frame::Pong(_) => Received::Handled,
                Frame::Close { .. } => {
                    self.said_goodbye = true;
                    conn.close(DisconnectReason::TransportClose);
                    Received::Closed
                }
            };
            match received {
                Received::Handled | Received::Probe | Received::Upgraded | Received::DropProbe => {
                    if conn.outbox.is_long() { Flow::Pause } else { Flow::Continue }
                }
                Received::Full(backlog) => {
                    full = Some(backlog);
                    Flow::Pause
                }
                Received::Closed => {
                    alive = false;
                    Flow::Pause
                }
            }
        });
        match fed {
            Ok(_) if !alive => false,
            Ok(consumed) => {
                if full.is_some() || consumed < input.len() {
                    let rest = input[consumed..].to_vec();
                    self.held = Some(Box::new(Held { input: rest, backlog: full }));
                }
                true
            }
            Err(error) => {
                self.close_sent = true;
                conn.websocket_error(error);
                false
            }
        }
    }

    /// Goes on with held input once there is room for it. False while the reader has to wait.
    pub(crate) fn may_read(&mut self, conn: &Arc<Conn>, cx: &mut Context<'_>) -> bool {
        loop {
            let held = self.held.as_ref().and_then(|held| held.backlog.as_ref());
            let waits = conn.outbox.pause_reader(&conn.engine.config.outbox)
                || held.is_some_and(|backlog| !backlog.has_room(cx.waker()));
            if waits != self.paused {
                self.paused = waits;
                let now = conn.engine.clock.now();
                conn.with_session(|session| {
                    if waits {
                        session.pause_heartbeat(now, &conn.engine.config.session);
                    } else {
                        session.resume_heartbeat(now);
                    }
                });
            }
            if waits {
                return false;
            }
            let Some(mut held) = self.held.take() else { return true };
            if !self.feed(conn, &mut held.input) {
                return true;
            }
        }
    }
}

impl Conn {
    /// WebSocket's own ping, which browsers never send but proxies may.
    fn pong(self: &Arc<Self>, data: &[u8]) {
        let mut frame = Vec::with_capacity(data.len() + 2);
        write_frame(&mut frame, Opcode::Pong, data);
        self.settle(self.outbox.push_pong(frame.into(), self.engine.clock.now()));
    }

    /// Tells the client which rule of WebSocket it broke, and closes.
    fn websocket_error(self: &Arc<Self>, error: DecodeError) {
        self.engine.metrics.decode_error(error);
        tracing::debug!(target: log::ENGINE_IO, connection = %log::Name(self), %error, "closing a WebSocket");
        let frame = close_frame(Some(error.close_code()), error.kind());
        self.settle(self.outbox.push_close(frame.into(), self.engine.clock.now()));
        self.close(
            if error.layer() == sockeye_proto::error::Layer::WebSocket && error.close_code() == 1009 {
                DisconnectReason::TransportClose
            } else {
                DisconnectReason::TransportError
            },
        );
    }
}

/// Runs a WebSocket over TCP until the connection is over. `first` is what was read together with the handshake.
pub(crate) async fn run(conn: Arc<Conn>, stream: Arc<TcpStream>, mut reader: Reader, mut first: Vec<u8>) {
    if !first.is_empty() {
        conn.outbox.claim();
        reader.feed(&conn, &mut first);
    }
    drop(first);
    // What follows is boxed, so that a task is not as large as its farewell for all its life.
    let whole = match std::future::poll_fn(|cx| poll(&conn, &stream, &mut reader, cx)).await {
        Over::Flushed => true,
        Over::Blocked => Box::pin(finish(&conn, &stream)).await,
        Over::Broken => false,
    };
    let reachable = whole && (reader.close_sent || stream.try_write(&close_frame(None, "")).is_ok());
    if reachable && !reader.said_goodbye {
        Box::pin(linger(&conn, &stream)).await;
    }
    conn.engine.metrics.undelivered(conn.outbox.release());
}

/// How a connection ended.
enum Over {
    /// Everything has left.
    Flushed,
    /// Something waits until the stream takes more.
    Blocked,
    /// The stream is useless.
    Broken,
}

/// One turn: write if the socket was full, then read and answer. Ready when the connection is over.
fn poll(conn: &Arc<Conn>, stream: &TcpStream, reader: &mut Reader, cx: &mut Context<'_>) -> Poll<Over> {
    let engine = &conn.engine;
    // Registered before anything is looked at, so that no change is missed.
    conn.outbox.register_task(cx.waker());
    loop {
        let closing = conn.outbox.is_closing();
        if conn.outbox.is_blocked() || closing {
            match flush(conn) {
                Drained::Empty if closing => return Poll::Ready(Over::Flushed),
                Drained::Empty => {}
                Drained::Blocked if closing => return Poll::Ready(Over::Blocked),
                Drained::Blocked => match stream.poll_write_ready(cx) {
                    Poll::Ready(Ok(())) => continue,
                    Poll::Ready(Err(_)) => return broken(conn, DisconnectReason::TransportError),
                    Poll::Pending => conn.deadline_moved_closer(),
                },
                Drained::Broken => return broken(conn, DisconnectReason::TransportError),
            }
        }
        if !reader.may_read(conn, cx) {
            return Poll::Pending;
        }
        match stream.poll_read_ready(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return broken(conn, DisconnectReason::TransportError),
            Poll::Pending => return Poll::Pending,
        }
        let read = BUFFERS.with_borrow_mut(|buffers| {
            // The handlers' answers to this read leave in one write at its end.
            match read(stream, &mut buffers.read) {
                Ok(0) => Err(Some(DisconnectReason::TransportClose)),
                Ok(n) => {
                    conn.outbox.claim();
                    engine.metrics.received_websocket(n);
                    reader.feed(conn, &mut buffers.read[..n]);
                    Ok(())
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(None),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                    Err(Some(DisconnectReason::TransportClose))
                }
                Err(_) => Err(Some(DisconnectReason::TransportError)),
            }
        });
        match read {
            Ok(()) => {
                if flush(conn) == Drained::Broken {
                    return broken(conn, DisconnectReason::TransportError);
                }
            }
            Err(None) => {}
            Err(Some(reason)) => return broken(conn, reason),
        }
    }
}

fn flush(conn: &Arc<Conn>) -> Drained {
    let mut written = 0;
    let drained = BUFFERS.with_borrow_mut(|buffers| {
        conn.outbox.flush_own(&mut buffers.write, conn.engine.clock.now(), &mut written)
    });
    if written > 0 {
        conn.engine.metrics.sent_websocket(written);
        tracing::trace!(target: log::ENGINE_IO, connection = %log::Name(conn), bytes = written, "sent");
    }
    drained
}

/// The stream is useless: nothing can be flushed.
fn broken(conn: &Arc<Conn>, reason: DisconnectReason) -> Poll<Over> {
    conn.close(reason);
    conn.engine.metrics.undelivered(conn.outbox.release());
    Poll::Ready(Over::Broken)
}

/// Sends what is queued at the end, for as long as a client may take for it. True if it took everything.
async fn finish(conn: &Arc<Conn>, stream: &TcpStream) -> bool {
    let flushing = async {
        loop {
            match flush(conn) {
                Drained::Empty => return true,
                Drained::Broken => return false,
                Drained::Blocked => {
                    if stream.writable().await.is_err() {
                        return false;
                    }
                }
            }
        }
    };
    tokio::time::timeout(conn.engine.config.outbox.max_age, flushing).await.unwrap_or(false)
}

/// Reads what is there. A short read means that the socket is empty: saying so saves the call that would find out.
fn read(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    let result = stream.try_io(Interest::READABLE, || {
        got = (&*SockRef::from(stream)).read(buffer)?;
        if got > 0 && got < buffer.len() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    });
    match result {
        Err(error) if got == 0 => Err(error),
        _ => Ok(got),
    }
}

/// Waits a moment for the client to have read everything: closing a socket with unread input would reset it and take the
/// last frames away from the client.
async fn linger(conn: &Arc<Conn>, stream: &TcpStream) {
    let _ = SockRef::from(stream).shutdown(std::net::Shutdown::Write);
    let wait = async {
        loop {
            if stream.readable().await.is_err() {
                return;
            }
            let read = BUFFERS.with_borrow_mut(|buffers| stream.try_read(&mut buffers.read));
            match read {
                Ok(0) => return,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return,
                _ => {}
            }
        }
    };
    let _ = tokio::time::timeout(conn.engine.config.linger, wait).await;
}

/// Any stream that is not plain TCP: TLS, a Unix socket, what an embedding server brought.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Runs a WebSocket over any other stream. Only this task writes to it.
pub(crate) async fn run_stream(
    conn: Arc<Conn>,
    mut stream: Box<dyn Stream>,
    mut reader: Reader,
    mut first: Vec<u8>,
) {
    if !first.is_empty() {
        reader.feed(&conn, &mut first);
    }
    drop(first);
    let mut out = Vec::new();
    let mut written = 0;
    let over =
        std::future::poll_fn(|cx| poll_stream(&conn, &mut *stream, &mut reader, &mut out, &mut written, cx))
            .await;
    if !matches!(over, Over::Broken) && conn.closed() != Some(DisconnectReason::Slow) {
        let rest = out.split_off(written);
        Box::pin(farewell(&conn, &mut *stream, &reader, rest)).await;
    }
    conn.engine.metrics.undelivered(conn.outbox.release());
}

/// Sends what is left and says goodbye, for as long as a client may take for it.
async fn farewell(conn: &Arc<Conn>, stream: &mut dyn Stream, reader: &Reader, mut rest: Vec<u8>) {
    let config = &conn.engine.config;
    let flushing = async {
        stream.write_all(&rest).await?;
        while conn.outbox.take_stream_bytes(&mut rest, conn.engine.clock.now()) {
            stream.write_all(&rest).await?;
        }
        if !reader.close_sent {
            stream.write_all(&close_frame(None, "")).await?;
        }
        stream.shutdown().await
    };
    let flushed = tokio::time::timeout(config.outbox.max_age, flushing).await;
    if matches!(flushed, Ok(Ok(()))) && !reader.said_goodbye {
        // As with TCP: what the client still sends must not take the last frames away from it.
        rest.resize(1024, 0);
        let reading = async { while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {} };
        let _ = tokio::time::timeout(config.linger, reading).await;
    }
}

fn poll_stream(
    conn: &Arc<Conn>,
    mut stream: &mut dyn Stream,
    reader: &mut Reader,
    out: &mut Vec<u8>,
    written: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<Over> {
    let engine = &conn.engine;
    conn.outbox.register_task(cx.waker());
    loop {
        let closing = conn.outbox.is_closing();
        loop {
            if *written == out.len() {
                *written = 0;
                if !conn.outbox.take_stream_bytes(out, engine.clock.now()) {
                    *out = Vec::new();
                    break;
                }
            }
            match Pin::new(&mut stream).poll_write(cx, &out[*written..]) {
                Poll::Ready(Ok(0) | Err(_)) => return broken(conn, DisconnectReason::TransportError),
                Poll::Ready(Ok(n)) => {
                    *written += n;
                    engine.metrics.sent_websocket(n as u64);
                }
                Poll::Pending => break,
            }
        }
        match Pin::new(&mut stream).poll_flush(cx) {
            Poll::Ready(Err(_)) => return broken(conn, DisconnectReason::TransportError),
            _ if closing => return Poll::Ready(Over::Blocked),
            _ => {}
        }
        // What was taken out of the queue but has not left counts as unread by the client, too.
        if !reader.may_read(conn, cx) || out.len() - *written >= SCRATCH {
            return Poll::Pending;
        }
        let read = BUFFERS.with_borrow_mut(|buffers| {
            let mut buffer = ReadBuf::new(&mut buffers.read);
            match Pin::new(&mut stream).poll_read(cx, &mut buffer) {
                Poll::Pending => None,
                Poll::Ready(Err(_)) => Some(Err(DisconnectReason::TransportError)),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                    Some(Err(DisconnectReason::TransportClose))
                }
                Poll::Ready(Ok(())) => {
                    engine.metrics.received_websocket(buffer.filled().len());
                    reader.feed(conn, buffer.filled_mut());
                    Some(Ok(()))
                }
            }
        });
        match read {
            None => return Poll::Pending,
            Some(Ok(())) => {}
            Some(Err(reason)) => return broken(conn, reason),
        }
    }
}

/// Starts the task of a WebSocket over TCP. The server's end waits for it.
pub(crate) fn start(conn: Arc<Conn>, stream: Arc<TcpStream>, reader: Reader, first: Vec<u8>) {
    let engine = conn.engine.clone();
    engine.spawn(run(conn, stream, reader, first));
}
