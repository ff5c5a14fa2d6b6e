//! Input that no decent client sends: at the worst that one session ends, the error is counted, and nobody else notices.

use std::collections::BTreeMap;

use sockeye::{Args, DisconnectReason, State};

use crate::support::{Client, Lines, Log, TestServer, log};

mod frames;
mod packets;
mod requests;

const MAX_PAYLOAD: usize = 10_000;

/// A server, and a client that has to be served whatever others do.
struct Scene {
    node: TestServer,
    lines: Lines,
    witness: Client,
    errors: BTreeMap<String, f64>,
}

impl Scene {
    async fn start() -> Self {
        let (log, lines) = log();
        let node = TestServer::start(|server| {
            server.state(log).max_payload(MAX_PAYLOAD).namespace("/witness", |ns| ns).namespace("/", |ns| {
                ns.on("echo", async |args: Args| args)
                    .on_disconnect(async |State(log): State<Log>, reason: DisconnectReason| log.note(reason))
            })
        })
        .await;
        let mut witness = Client::open(node.addr).await;
        witness.join("/witness", "").await;
        Self { node, lines, witness, errors: BTreeMap::new() }
    }

    fn errors(&self) -> BTreeMap<String, f64> {
        let text = self.node.server.metrics();
        text.lines()
            .filter_map(|line| line.strip_prefix("sockeye_decode_errors_total{"))
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(labels, count)| (labels.trim_end_matches('}').to_owned(), count.parse().unwrap()))
            .collect()
    }

    /// The layer and kind of the one error that was counted since the last call.
    fn new_error(&mut self) -> Option<String> {
        let now = self.errors();
        let new: Vec<_> = now
            .iter()
            .filter(|(labels, count)| self.errors.get(*labels).copied().unwrap_or_default() != **count)
            .map(|(labels, count)| {
                assert_eq!(*count, self.errors.get(labels).copied().unwrap_or_default() + 1.0, "{labels}");
                labels.replace("kind=", "").replace("layer=", "").replace('"', "")
            })
            .collect();
        self.errors = now;
        assert!(new.len() <= 1, "{new:?}");
        new.into_iter().next()
    }

    async fn unharmed(&mut self) {
        let io = self.node.server.io().of("/witness").unwrap();
        assert_eq!(io.emit("unharmed", ()).reached(), 1);
        self.witness.expect(r#"42/witness,["unharmed"]"#).await;
    }

    async fn end(mut self) {
        self.unharmed().await;
        self.lines.is_empty();
        assert_eq!(self.node.metric("sockeye_handler_panics_total"), 0.0);
        self.node.stop().await;
    }
}
