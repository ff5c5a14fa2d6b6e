//! Options of the cluster: the bus, its dialects and this node in it.

use sockeye_bus::BusConfig;

use super::ServerBuilder;

impl ServerBuilder {
    /// The bus that connects the nodes: `memory://` (the default: servers of this process only), `redis://…`, `rediss://…`
    /// or `redis+unix://…`.
    pub fn bus(mut self, url: impl Into<String>) -> Self {
        self.bus.url = url.into();
        self
    }

    /// The name of the cluster's channel on the bus; `socketio` if not said. Python's emitters call it `channel`, too.
    pub fn channel(mut self, channel: impl Into<String>) -> Self {
        self.bus.channel = channel.into();
        self
    }

    /// All settings of the bus: bounds of the spool, what an emit does during an outage, timeouts. Replaces what
    /// [`bus`](Self::bus) and [`channel`](Self::channel) said before.
    pub fn bus_config(mut self, config: BusConfig) -> Self {
        self.bus = config;
        self
    }

    /// Takes part in a cluster with python-socketio nodes, in both directions. What Python's write-only emitters publish is
    /// heard without it.
    pub fn bridge_python(mut self, on: bool) -> Self {
        self.bridge_python = on;
        self
    }

    /// A secret that all nodes of the cluster share; it signs session ids. Call it again with older ones during a rotation:
    /// the first signs, all are accepted. Without any, a random one is made, which is right for one node.
    pub fn secret(mut self, secret: impl AsRef<[u8]>) -> Self {
        self.secrets.push(secret.as_ref().to_vec());
        self
    }

    /// What this node is called in logs, metrics and answers; its id if not said.
    pub fn node_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }
}
