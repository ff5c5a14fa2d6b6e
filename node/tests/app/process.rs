//! The program as a process.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program with this environment and no other `SOCKEYE_…` variable.
fn command(args: &[&str], env: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sockeye"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SOCKEYE_")) {
        command.env_remove(name);
    }
    command.args(args).envs(env.iter().copied()).stdin(Stdio::null());
    command
}

/// Runs the program until it ends by itself.
pub(crate) fn run(args: &[&str], env: &[(&str, &str)]) -> Output {
    command(args, env).output().unwrap()
}

/// A node that runs; it is killed when the test is done with it.
pub(crate) struct Node {
    child: Child,
    pub(crate) address: SocketAddr,
    /// The lines on standard output after the first.
    pub(crate) out: Receiver<String>,
    log: Receiver<String>,
}

impl Node {
    /// Starts a node on a free port of the loopback address.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::start_with(&[&["--listen", "127.0.0.1:0"], args].concat(), &[])
    }

    /// Starts a node and waits until it says where it listens.
    pub(crate) fn start_with(args: &[&str], env: &[(&str, &str)]) -> Self {
        let mut child = command(args, env).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = lines(child.stdout.take().unwrap());
        let log = lines(child.stderr.take().unwrap());
        let first = out.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            let _ = child.kill();
            panic!("the node did not start: {:?}", log.iter().collect::<Vec<_>>());
        });
        let address = first.strip_prefix("listening on ").expect(&first).parse().unwrap();
        Self { child, address, out, log }
    }

    /// Sends a signal, as in `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let command = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &command]).status().unwrap().success());
    }

    /// Waits for the end; the exit status, if there is one.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "the node does not end");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for a line in the log that has this in it.
    pub(crate) fn logged(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.log.recv_timeout(left).unwrap_or_else(|_| panic!("`{text}` was not logged"));
            if line.contains(text) {
                return line;
            }
        }
    }

    /// What is left in the log, after the end.
    pub(crate) fn rest_of_log(&self) -> Vec<String> {
        self.log.iter().collect()
    }

    /// Answer of the node to a GET: status, head, body.
    pub(crate) fn get(&self, path: &str) -> (u16, String, String) {
        get(self.address, path)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    // Reads to the end even if nobody listens: a full pipe would stop the node.
    thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    receiver
}

/// Answer to a GET: status, head, body.
pub(crate) fn get(address: SocketAddr, path: &str) -> (u16, String, String) {
    let address = SocketAddr::from(([127, 0, 0, 1], address.port()));
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), body.to_owned())
}
