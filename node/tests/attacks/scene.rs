//! A server in a process of its own, and a client that has to be served whatever others do.

use std::{
    collections::HashMap,
    fs,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::SystemTime,
};

use serde_json::Value;

use crate::support::{Client, Frame, Http, PATIENCE, Polling, patient};

/// A program that serves, and how much memory it needs.
pub(crate) struct Process {
    child: Child,
    pub(crate) addr: SocketAddr,
    /// Resident memory before the attack, in KiB.
    before: u64,
}

impl Process {
    fn start(program: &Path, args: &[&str]) -> Self {
        let mut child = Command::new(program)
            .args(["--listen", "127.0.0.1:0"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addr = line.trim().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line:?}"));
        Self { addr: addr.parse().unwrap(), child, before: 0 }
    }

    /// A number of `/proc/PID/status`, in KiB.
    fn status(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// What comes from now on counts.
    pub(crate) fn measure(&mut self) {
        // Makes the peak begin again at what is resident now.
        fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").unwrap();
        self.before = self.status("VmRSS");
    }

    /// How much more memory than before was needed at any moment, in MiB.
    pub(crate) fn peak(&self) -> u64 {
        self.status("VmHWM").saturating_sub(self.before) / 1024
    }

    /// Ends it as an operator does.
    pub(crate) async fn end(mut self) {
        let kill = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        let ended = patient("the process to end", async {
            loop {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        });
        assert_eq!(ended.await.code(), Some(0), "it ends cleanly");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The acceptance app with these flags.
pub(crate) fn acceptance(args: &[&str]) -> Process {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    Process::start(BUILT.get_or_init(built_acceptance), args)
}

/// The program of the crate with these options.
pub(crate) fn node(args: &[&str]) -> Process {
    Process::start(Path::new(env!("CARGO_BIN_EXE_sockeye")), args)
}

/// Examples are not built for every way in which tests are started, and one that was may be older than its source.
fn built_acceptance() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let program = profile.join("examples/acceptance");
    let built = fs::metadata(&program).and_then(|program| program.modified());
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let sources =
        ["node/src", "node/examples", "proto/src", "bus/src"].iter().map(|of| newest(&workspace.join(of)));
    if built.is_ok_and(|built| sources.into_iter().all(|source| source <= built)) {
        return program;
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.current_dir(workspace).args(["build", "--package", "sockeye", "--example", "acceptance"]);
    build.arg("--target-dir").arg(profile.parent().unwrap());
    if profile.ends_with("release") {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success(), "the acceptance app cannot be built");
    program
}

fn newest(folder: &Path) -> SystemTime {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let times = entries.map(|path| {
        if path.is_dir() { newest(&path) } else { fs::metadata(path).unwrap().modified().unwrap() }
    });
    times.max().unwrap_or(SystemTime::UNIX_EPOCH)
}

/// A server under attack.
pub(crate) struct Scene {
    server: Process,
    pub(crate) addr: SocketAddr,
    witness: Client,
    asks: u64,
    /// What the witness calls, and with what.
    call: &'static str,
    /// Why others left, by their ids.
    left: HashMap<String, String>,
}

impl Scene {
    /// The acceptance app, and a client that hears of everyone who leaves.
    pub(crate) async fn start(args: &[&str]) -> Self {
        let mut scene = Self::before(acceptance(args), r#"["message-with-ack","x"]"#).await;
        scene.ask(r#"["join","watchers"]"#).await;
        // Whatever is only made once is made before memory is measured.
        let (client, polling) = (scene.attacker().await, scene.poller().await);
        let ids = [client.id.clone(), polling.id.clone()];
        client.vanish();
        scene.post(&polling, "1").await;
        for id in ids {
            scene.left(&id).await;
        }
        scene.server.measure();
        scene
    }

    /// The program, in which clients may join rooms.
    pub(crate) async fn node(args: &[&str]) -> Self {
        let args = [&["--no-demo", "--allow-join"], args].concat();
        let mut scene = Self::before(node(&args), r#"["join","a room"]"#).await;
        scene.server.measure();
        scene
    }

    async fn before(server: Process, call: &'static str) -> Self {
        let addr = server.addr;
        let witness = Client::connect(addr).await;
        let mut scene = Self { server, addr, witness, asks: 0, call, left: HashMap::new() };
        scene.served().await;
        scene
    }

    async fn post(&mut self, polling: &Polling, payload: &str) {
        let answer = Http::connect(self.addr).await.post(&polling.target(), payload).await;
        assert_eq!(answer.status, 200);
    }

    /// A client of `/` over a WebSocket.
    pub(crate) async fn attacker(&self) -> Client {
        let mut client = Client::connect(self.addr).await;
        client.expect(r#"42["auth",{}]"#).await;
        client
    }

    /// A client of `/` over long-polling.
    pub(crate) async fn poller(&self) -> Polling {
        let mut client = Polling::connect(self.addr).await;
        client.expect(r#"42["auth",{}]"#).await;
        client
    }

    /// The witness gets an answer.
    pub(crate) async fn served(&mut self) {
        self.ask(self.call).await;
    }

    /// The answer to an event of the witness.
    pub(crate) async fn ask(&mut self, event: &str) -> Value {
        self.asks += 1;
        self.witness.send(&format!("42{}{event}", self.asks)).await;
        let answer = format!("43{}[", self.asks);
        let waiting = async {
            loop {
                let text = self.witness_hears().await;
                if text.starts_with(&answer) {
                    return serde_json::from_str(&text[answer.len() - 1..]).unwrap();
                }
            }
        };
        patient("the witness to be served", waiting).await
    }

    /// The witness emits an event without asking for an answer.
    pub(crate) async fn tell(&mut self, event: &str) {
        self.witness.send(&format!("42{event}")).await;
    }

    /// The witness gets this, sooner or later.
    pub(crate) async fn hears(&mut self, packet: &str) {
        let waiting = async { while self.witness_hears().await != packet {} };
        patient("what the witness shall hear", waiting).await;
    }

    async fn witness_hears(&mut self) -> String {
        let frame = self.witness.next().await;
        let Frame::Text(text) = frame else { panic!("the witness was thrown out: {frame:?}") };
        if let Some(left) = text.strip_prefix(r#"42["left","#) {
            let (sid, reason): (String, String) = serde_json::from_str(&left[..left.len() - 1]).unwrap();
            self.left.insert(sid, reason);
        }
        text
    }

    /// Why a client left, once it has.
    pub(crate) async fn left(&mut self, id: &str) -> String {
        let waiting = async {
            while !self.left.contains_key(id) {
                self.witness_hears().await;
            }
        };
        // Heartbeats keep the witness busy: its own patience has no end.
        patient("somebody to leave", waiting).await;
        self.left.remove(id).unwrap()
    }

    /// The node's metrics.
    async fn metrics(&self) -> String {
        let answer = Http::connect(self.addr).await.get("/metrics").await;
        assert_eq!(answer.status, 200);
        answer.text().to_owned()
    }

    /// The value of one series; 0 if it is not there.
    pub(crate) async fn metric(&self, series: &str) -> f64 {
        let text = self.metrics().await;
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// How often a limit was met.
    pub(crate) async fn refused(&self, limit: &str) -> f64 {
        self.metric(&format!(r#"sockeye_limit_rejections_total{{limit="{limit}"}}"#)).await
    }

    /// How often input was wrong in this way; in any if it is not said.
    pub(crate) async fn errors(&self, kind: &str) -> f64 {
        let text = self.metrics().await;
        let kind = if kind.is_empty() { String::new() } else { format!(r#"kind="{kind}""#) };
        let lines = text
            .lines()
            .filter(|line| line.starts_with("sockeye_decode_errors_total") && line.contains(&kind));
        lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
    }

    /// Waits until a metric has a value.
    pub(crate) async fn metric_is(&self, series: &str, value: f64) {
        let mut last = f64::NAN;
        let waiting = async {
            while last != value {
                last = self.metric(series).await;
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!("{series} is {last} and not {value}");
        }
    }

    /// The attack is over: the witness is served, nothing panicked, and no more than so many MiB were ever needed.
    pub(crate) async fn end(mut self, most: u64) {
        self.served().await;
        assert_eq!(self.metric("sockeye_handler_panics_total").await, 0.0);
        let peak = self.server.peak();
        println!("{peak} MiB");
        assert!(peak <= most, "{peak} MiB were needed, more than {most}");
        self.server.end().await;
    }
}
