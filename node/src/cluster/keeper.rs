//! The task that keeps time: heartbeats and deadlines.

use std::sync::Arc;

use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use super::core::Core;

/// Beats and ends what is due, for ever.
pub(super) async fn run(core: Arc<Core>) {
    let period = core.settings.heartbeat;
    let mut heart = interval_at(Instant::now() + period, period);
    heart.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let (flushes, next) = core.pending.due(Instant::now());
        for acks in flushes {
            acks.flush();
        }
        let deadline = async {
            match next {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = heart.tick() => core.beat(false),
            () = deadline => {}
            () = core.pending.earlier() => {}
        }
    }
}
