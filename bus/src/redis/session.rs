//! One fred client with one connection that lives exactly as long as this value.

use crate::error::{Error, ErrorKind};
use fred::{
    clients::Client,
    interfaces::ClientLike,
    types::{
        Builder, ConnectHandle,
        config::{Config, ConnectionConfig, PerformanceConfig, TcpConfig, UnresponsiveConfig},
    },
};
use std::time::Duration;

/// For everything that only has to be there as a second line: the supervisor bounds connecting and sending itself.
const TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Session {
    pub(super) client: Client,
    /// `None` once it has ended and said why.
    task: Option<ConnectHandle>,
}

impl Session {
    /// Begins to connect and returns at once; commands wait until the connection is there. `ring`: how many messages
    /// and errors may wait to be picked up (fred keeps several rings of this size for each client).
    ///
    /// # Errors
    /// The configuration makes no sense to fred.
    pub(super) fn start(config: Config, ring: usize) -> Result<Self, Error> {
        let connection = ConnectionConfig {
            connection_timeout: TIMEOUT,
            internal_command_timeout: TIMEOUT,
            max_command_attempts: 1,
            unresponsive: UnresponsiveConfig { max_timeout: Some(TIMEOUT), interval: TIMEOUT / 4 },
            tcp: TcpConfig { nodelay: Some(true), ..TcpConfig::default() },
            ..ConnectionConfig::default()
        };
        let performance = PerformanceConfig {
            default_command_timeout: TIMEOUT,
            broadcast_channel_capacity: ring,
            ..PerformanceConfig::default()
        };
        let client = Builder::from_config(config)
            .set_connection_config(connection)
            .set_performance_config(performance)
            .build()
            .map_err(explain)?;
        // No reconnection policy: the task ends with the connection. Its handle is kept before anything is awaited, so
        // that whatever happens the connection cannot outlive this value.
        let task = Some(client.connect());
        Ok(Self { client, task })
    }

    /// Runs commands, unless the connection ends first.
    pub(super) async fn run<T>(
        &mut self,
        commands: impl Future<Output = Result<T, fred::error::Error>>,
    ) -> Result<T, Error> {
        tokio::select! {
            done = commands => done.map_err(explain),
            error = Self::ended(&mut self.task) => Err(error),
        }
    }

    /// Waits for the end of the connection. Cancel-safe.
    pub(super) async fn lost(&mut self) -> Error {
        Self::ended(&mut self.task).await
    }

    async fn ended(task: &mut Option<ConnectHandle>) -> Error {
        let Some(handle) = task else { return std::future::pending().await };
        let end = handle.await;
        *task = None;
        match end {
            Ok(Err(error)) => explain(error),
            Ok(Ok(())) => Error::new(ErrorKind::Lost, "the connection to Redis was closed"),
            Err(error) => Error::caused(ErrorKind::Lost, "the connection to Redis failed", error),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// fred's error in our words.
pub(super) fn explain(error: fred::error::Error) -> Error {
    use fred::error::ErrorKind as Kind;
    let details = error.details();
    let kind = match error.kind() {
        Kind::Auth | Kind::Tls => ErrorKind::Auth,
        Kind::Timeout => ErrorKind::Timeout,
        Kind::Config | Kind::Url => ErrorKind::Config,
        // Redis has answered, with an error of its own.
        _ if details.starts_with("NOPERM") || details.starts_with("ERR ") => ErrorKind::Refused,
        _ => ErrorKind::Lost,
    };
    Error::caused(kind, "Redis", error)
}
