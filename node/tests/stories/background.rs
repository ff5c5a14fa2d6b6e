//! Tasks of the application that end with the server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use sockeye::{Io, Socket, State};
use tokio::sync::oneshot;

use crate::support::{Client, Log, TestServer, log, patient, until};

/// Counts the tasks that hold one.
#[derive(Clone)]
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_hear_of_the_end_and_are_waited_for() {
    let (log, mut lines) = log();
    let node = TestServer::start(|server| {
        server.state(log).namespace("/", |ns| {
            ns.on("start", async |io: Io, socket: Socket, State(log): State<Log>| {
                io.spawn({
                    let io = io.clone();
                    async move {
                        io.emit("begun", ());
                        io.shutting_down().await;
                        // The connections are closed meanwhile.
                        while socket.is_connected() {
                            tokio::task::yield_now().await;
                        }
                        log.note("saved");
                    }
                });
            })
        })
    })
    .await;
    let mut client = Client::connect(node.addr).await;
    client.send(r#"42["start"]"#).await;
    client.expect(r#"42["begun"]"#).await;
    let done = node.server.spawn(async { 6 * 7 });
    assert_eq!(patient("a task", done).await.unwrap(), 42);
    let computed = node.server.io().spawn_blocking(|| 6 * 8);
    assert_eq!(patient("a computation", computed).await.unwrap(), 48);
    let failed = node.server.spawn(async { panic!("a background task was told to") });
    assert!(patient("a task", failed).await.unwrap_err().is_panic());
    let failed = node.server.io().spawn_blocking(|| panic!("a background computation was told to"));
    assert!(patient("a computation", failed).await.unwrap_err().is_panic());
    node.metric_is("sockeye_background_tasks", 1.0).await;
    assert_eq!(node.metric(r#"sockeye_background_tasks_ended_total{result="done"}"#), 2.0);
    assert_eq!(node.metric(r#"sockeye_background_tasks_ended_total{result="panicked"}"#), 2.0);
    lines.is_empty();
    let server = node.server.clone();
    node.stop().await;
    assert_eq!(lines.try_next().as_deref(), Some("saved"), "before the server had ended");
    assert!(server.metrics().contains("sockeye_background_tasks 0"));
    patient("what is long over", server.io().shutting_down()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_task_outlives_the_server() {
    let alive = Arc::new(AtomicUsize::new(0));
    let node = TestServer::start(|server| server.shutdown_timeout(Duration::from_millis(50))).await;
    let server = node.server.clone();
    let mut tasks = Vec::new();
    for _ in 0..20 {
        let held = Alive::new(&alive);
        tasks.push(server.spawn(async move {
            let _held = held;
            std::future::pending::<()>().await;
        }));
    }
    // Tasks that begin others while they end.
    let (io, held) = (server.io(), Alive::new(&alive));
    server.spawn(async move {
        io.shutting_down().await;
        loop {
            let held = held.clone();
            held.0.fetch_add(1, Ordering::SeqCst);
            io.spawn(async move {
                let _held = held;
                std::future::pending::<()>().await;
            });
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let (release, released) = std::sync::mpsc::channel::<()>();
    let finished = Arc::new(AtomicBool::new(false));
    server.io().spawn_blocking({
        let finished = finished.clone();
        move || {
            let _ = released.recv();
            finished.store(true, Ordering::SeqCst);
        }
    });
    node.stop().await;
    assert_eq!(alive.load(Ordering::SeqCst), 0);
    for task in tasks {
        assert!(patient("a task that was cut off", task).await.unwrap_err().is_cancelled());
    }
    // What blocks its thread cannot be cut off: it is the one that is left, and says so.
    assert!(server.metrics().contains("sockeye_background_tasks 1"));
    drop(release);
    until("the blocking task", || finished.load(Ordering::SeqCst)).await;
    until("its entry to go", || server.metrics().contains("sockeye_background_tasks 0")).await;

    // Nothing begins after the end.
    let (begun, begins) = oneshot::channel();
    let held = Alive::new(&alive);
    let late = server.spawn(async move {
        let _held = held;
        tokio::task::yield_now().await;
        let _ = begun.send(());
        std::future::pending::<()>().await;
    });
    assert!(patient("a late task", late).await.unwrap_err().is_cancelled());
    assert_eq!(alive.load(Ordering::SeqCst), 0);
    drop(begins);
}
