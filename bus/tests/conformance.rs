//! One list of checks on every driver, and on every way to reach it.

#[path = "../examples/custom_driver.rs"]
#[allow(dead_code, unreachable_pub, reason = "its main is not run here")]
mod custom_driver;
mod support;

use sockeye_bus::{BoxFuture, Driver, conformance, driver};
use support::{
    faulty,
    redis::{Kind, Redis},
};

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
            // Both connections of every link in one command: of two, the second would meet links that are back already.
            let here = format!("127.0.0.1:{port}");
            let kill = ["-p", &port, "client", "kill", "laddr", &here];
            let done = tokio::process::Command::new("redis-cli").args(kill).output().await;
            assert!(done.expect("redis-cli").status.success());
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_driver_of_the_example() {
    let report = custom_driver::check().await.expect("the toy broker starts");
    report.assert();
    let skipped: Vec<_> = report.skipped.iter().map(|(name, _)| *name).collect();
    assert_eq!(skipped, ["topics can change on an open link"], "{report}");
}

/// The suite is worth something only if it finds what is wrong. Virtual time, because much of what is wrong is waited
/// for in vain.
#[tokio::test(start_paused = true)]
async fn faults_are_found() {
    for (fault, check) in faulty::FAULTS {
        let report = conformance::run(|| Box::new(faulty::Faulty::new(*fault))).await;
        let failed: Vec<_> = report.failed.iter().map(|(name, _)| *name).collect();
        assert!(failed.contains(check), "{fault:?} was not found by '{check}':\n{report}");
    }
}
