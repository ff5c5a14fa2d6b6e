//! A real Redis server, started with the project's own script and stopped when dropped.

use super::free_port;
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// How the server wants to be reached.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Kind {
    Plain,
    Auth,
    Tls,
    Unix,
}

pub(crate) struct Redis {
    kind: Kind,
    dir: PathBuf,
    pub(crate) port: u16,
    pub(crate) url: String,
}

impl Redis {
    pub(crate) fn start(kind: Kind) -> Self {
        let port = free_port();
        let dir = std::env::temp_dir().join(format!("sockeye-bus-{}-{port}", std::process::id()));
        let mut redis = Self { kind, dir, port, url: String::new() };
        redis.start_again();
        redis
    }

    pub(crate) fn start_again(&mut self) {
        let command = match self.kind {
            Kind::Plain => "start",
            Kind::Auth => "start-auth",
            Kind::Tls => "start-tls",
            Kind::Unix => "start-unix",
        };
        let output = self.script(command);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(
            output.status.success(),
            "these tests need a Redis server (Debian: apt-get install redis-server openssl), and it did not start: {err}"
        );
        self.url = out.trim().to_owned();
    }

    pub(crate) fn stop(&self) {
        let output = self.script("stop");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    pub(crate) fn pid(&self) -> u32 {
        let pid = std::fs::read_to_string(self.dir.join("redis.pid")).expect("the server is running");
        pid.trim().parse().expect("a process id")
    }

    /// Sends a signal to the server: `STOP` and `CONT` freeze and thaw it, `KILL` ends it without a word.
    pub(crate) fn signal(&self, signal: &str) {
        let done = Command::new("kill").arg(format!("-{signal}")).arg(self.pid().to_string()).status();
        assert!(done.expect("kill").success());
    }

    fn script(&self, command: &str) -> Output {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/services/redis.sh");
        Command::new(&script)
            .arg(command)
            .arg(&self.dir)
            .arg(self.port.to_string())
            .output()
            .unwrap_or_else(|e| panic!("cannot run {}: {e}", script.display()))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // Not asserted: a failing test must not panic twice.
        let _ = self.script("stop");
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}
