//! One list of checks on every driver, and on every way to reach it.

mod support;

use sockeye_bus::{BoxFuture, Driver, conformance, driver};
use support::redis::{Kind, Redis};

/// In the part of the channel names that the restricted user may use.
const CHANNEL: &str = "socketio:conformance";

fn of(url: &str) -> impl Fn() -> Box<dyn Driver> + Send + Sync {
    move || driver(url, CHANNEL).expect("a good URL")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory() {
    conformance::run(of("memory://conformance")).await.assert();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis() {
    let redis = Redis::start(Kind::Plain);
    let port = redis.port.to_string();
    let cut = move || -> BoxFuture<'static, ()> {
        let port = port.clone();
        Box::pin(async move {
            for kind in ["normal", "pubsub"] {
                let kill = ["-p", &port, "client", "kill", "type", kind];
                let done = tokio::process::Command::new("redis-cli").args(kill).output().await;
                assert!(done.expect("redis-cli").status.success());
            }
        })
    };
    let report = conformance::run_with_cut(of(&redis.url), cut).await;
    report.assert();
    assert!(report.skipped.is_empty(), "{report}");
}

#[tokio::test]
async fn redis_on_one_thread() {
    let redis = Redis::start(Kind::Plain);
    conformance::run(of(&redis.url)).await.assert();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_with_a_restricted_user() {
    let redis = Redis::start(Kind::Auth);
    conformance::run(of(&redis.url)).await.assert();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_over_tls() {
    let redis = Redis::start(Kind::Tls);
    conformance::run(of(&redis.url)).await.assert();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_on_a_unix_socket() {
    let redis = Redis::start(Kind::Unix);
    conformance::run(of(&redis.url)).await.assert();
}
