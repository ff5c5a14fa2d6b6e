//! The acks scenario over long-polling, against a small server of its own.

mod mock;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use parking_lot::Mutex;
use sockeye_loadtest::fault::Fault;
use sockeye_loadtest::interrupt::Interrupt;
use sockeye_loadtest::progress::Progress;
use sockeye_loadtest::report::Report;
use sockeye_loadtest::scenario::{Acks, Setting, Timing, Transport};
use sockeye_loadtest::target::Target;
use tokio::sync::Notify;

#[derive(Copy, Clone, Default)]
struct Manners {
    ack_twice: bool,
    /// Answers every POST from the so many-th on with 400.
    refuse_after: usize,
    /// Sends the answers in chunks, as a server that streams does.
    chunks: bool,
}

#[derive(Default)]
struct Session {
    queue: Mutex<Vec<String>>,
    wake: Notify,
}

#[derive(Default)]
struct Server {
    manners: Manners,
    sessions: Mutex<HashMap<String, Arc<Session>>>,
    posts: AtomicUsize,
}

impl Server {
    fn find(&self, sid: &str) -> Option<Arc<Session>> {
        self.sessions.lock().get(sid).cloned()
    }
}

type Params = Query<HashMap<String, String>>;

async fn poll(State(server): State<Arc<Server>>, Query(query): Params) -> Response {
    let Some(sid) = query.get("sid") else {
        let mut sessions = server.sessions.lock();
        let sid = format!("s{}", sessions.len());
        sessions.insert(sid.clone(), Arc::default());
        return format!("0{{\"sid\":\"{sid}\",\"pingInterval\":25000}}").into_response();
    };
    let Some(session) = server.find(sid) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    loop {
        let woken = session.wake.notified();
        let packets = std::mem::take(&mut *session.queue.lock());
        if packets.is_empty() {
            woken.await;
            continue;
        }
        let body = packets.join("\x1e");
        if server.manners.chunks {
            let parts = futures_util::stream::iter(vec![
                Ok::<_, std::convert::Infallible>(body[..1].to_owned()),
                Ok(body[1..].to_owned()),
            ]);
            return axum::body::Body::from_stream(parts).into_response();
        }
        return body.into_response();
    }
}

async fn post(State(server): State<Arc<Server>>, Query(query): Params, body: String) -> Response {
    let posts = server.posts.fetch_add(1, Ordering::SeqCst);
    let refuse = server.manners.refuse_after;
    let session = query.get("sid").and_then(|sid| server.find(sid));
    let Some(session) = session.filter(|_| refuse == 0 || posts < refuse) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    for packet in body.split('\x1e') {
        if packet == "40" {
            // With a ping and an event of its own in the same answer.
            for packet in ["40{\"sid\":\"x\"}", "2", "42[\"auth\",{}]"] {
                session.queue.lock().push(packet.to_owned());
            }
        } else if let Some(rest) = packet.strip_prefix("42") {
            let json = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            let id = &rest[..rest.len() - json.len()];
            let args: Vec<serde_json::Value> = serde_json::from_str(json).expect("valid JSON");
            let args = serde_json::Value::from(&args[1..]);
            for _ in 0..1 + usize::from(server.manners.ack_twice) {
                session.queue.lock().push(format!("43{id}{args}"));
            }
        }
        session.wake.notify_one();
    }
    "ok".into_response()
}

fn run(manners: Manners, window: usize) -> anyhow::Result<Report> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let listener = runtime.block_on(mock::listen());
    let address: SocketAddr = listener.local_addr()?;
    let server = Arc::new(Server { manners, ..Server::default() });
    let app = Router::new().route("/socket.io/", get(poll).post(post)).with_state(server);
    runtime.spawn(async move { axum::serve(listener, app).await });
    let scenario = Acks {
        connections: 4,
        window,
        payload: 16,
        transport: Transport::Polling,
        timing: Timing { duration: Duration::from_millis(300), warmup: Duration::from_millis(50) },
    };
    scenario.run(Setting {
        target: Target::local(address, std::process::id()),
        progress: &mut Progress::quiet(),
        interrupt: Interrupt::default(),
    })
}

fn kinds(report: &Report) -> Vec<Fault> {
    report.faults.iter().map(|(fault, ..)| fault).collect()
}

#[test]
fn requests_over_polling_are_answered_and_measured() {
    for (window, chunks) in [(1, false), (8, false), (8, true)] {
        let manners = Manners { chunks, ..Manners::default() };
        let report = run(manners, window).expect("runs");
        assert_eq!(kinds(&report), [], "{report}");
        assert!(report.measured.expect("measured").units > 0, "{report}");
    }
}

#[test]
fn acks_that_come_twice_are_found_over_polling() {
    let manners = Manners { ack_twice: true, ..Manners::default() };
    let report = run(manners, 1).expect("runs");
    assert_eq!(kinds(&report), [Fault::Duplicate], "{report}");
}

#[test]
fn a_server_that_refuses_is_an_error_over_polling() {
    let manners = Manners { refuse_after: 20, ..Manners::default() };
    let error = run(manners, 1).expect_err("all are refused");
    assert!(error.to_string().contains("gone"), "{error}");
    let manners = Manners { refuse_after: 1, ..Manners::default() };
    let error = run(manners, 1).expect_err("refused at once");
    assert!(error.to_string().contains("not 200"), "{error}");
}
