//! The command `sockeye-emit` as a process, on a real Redis.

#[path = "../emitter/support.rs"]
mod support;

use serde_json::{Value, json};
use sockeye_proto::{
    bus::{Message, Target, python::PythonMessage},
    sio::{Args, IntoArgs, Value as Any},
};
use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Output, Stdio},
};
use support::{Redis, Subscriber};

const CHANNEL: &[&str] = &["socketio:sockeye"];

/// The command, without whatever the environment of the tests may say.
fn command(redis: &Redis, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sockeye-emit"));
    command.env_remove("SOCKEYE_CHANNEL").env("SOCKEYE_BUS", redis.url()).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

struct Done {
    status: i32,
    out: String,
    err: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        let status = output.status.code().expect("it ended by itself");
        Self { status, out: text(output.stdout), err: text(output.stderr) }
    }
}

fn finish(child: Child) -> Done {
    child.wait_with_output().expect("its end").into()
}

fn run_with(redis: &Redis, arguments: &[&str], input: &[u8]) -> Done {
    let mut child = command(redis, arguments).spawn().expect("the program");
    // It may end before it has read everything, which is what some tests are about.
    let _ = child.stdin.take().expect("piped").write_all(input);
    finish(child)
}

fn run(redis: &Redis, arguments: &[&str]) -> Done {
    run_with(redis, arguments, b"")
}

async fn next_emit(subscriber: &mut Subscriber) -> (String, String, Args, Target) {
    match subscriber.native().await.message {
        Message::Emit { namespace, event, args, target, .. } => {
            (namespace.to_string(), event.into(), args, target)
        }
        other => panic!("{other:?}"),
    }
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a JSON object")).collect()
}

#[tokio::test]
async fn one_event_from_the_command_line() {
    let redis = Redis::start();
    let mut subscriber = redis.subscribe(CHANNEL).await;
    let done = run(&redis, &["news"]);
    assert_eq!((done.status, done.out.as_str()), (0, ""), "{}", done.err);
    assert!(done.err.contains("1 subscriber heard it"), "{}", done.err);
    let want = ("/".to_owned(), "news".to_owned(), Args::empty(), Target::everyone());
    assert_eq!(next_emit(&mut subscriber).await, want);

    let done = run(
        &redis,
        &["-n", "chat", "-t", "a", "--to", "b", "-x", "c", "ev", "-1", r#"{"k":[1.50]}"#, "null", "--quiet"],
    );
    assert_eq!((done.status, done.out.as_str(), done.err.as_str()), (0, "", ""));
    let args = Args::from_parts(r#"[-1,{"k":[1.50]},null]"#.into(), vec![]).expect("arguments");
    let want = ("/chat".to_owned(), "ev".to_owned(), args, Target::room("a").to("b").except("c"));
    assert_eq!(next_emit(&mut subscriber).await, want);

    assert_eq!(run(&redis, &["ev", "--text", "say", "@x", r#"it's "so""#]).status, 0);
    assert_eq!(next_emit(&mut subscriber).await.2.json(), r#"["say","@x","it's \"so\""]"#);

    let file = std::env::temp_dir().join(format!("sockeye-emit-{}.bin", redis.port));
    std::fs::write(&file, b"\x00\xff").expect("written");
    let path = file.to_str().expect("a plain name");
    let done = run_with(&redis, &["ev", r#""a""#, "@-", "--binary", path], b"\x01piped");
    std::fs::remove_file(&file).expect("removed");
    assert_eq!(done.status, 0, "{}", done.err);
    let args = next_emit(&mut subscriber).await.2;
    let (a, piped, file): (String, Any, Any) = args.parse().expect("three arguments");
    assert_eq!(a, "a");
    let (piped, file) = (piped.as_binary().expect("bytes"), file.as_binary().expect("bytes"));
    assert_eq!((piped.as_ref(), file.as_ref()), (&b"\x01piped"[..], &b"\x00\xff"[..]));
}

#[tokio::test]
async fn rooms_connections_and_servers() {
    let redis = Redis::start();
    let mut subscriber = redis.subscribe(CHANNEL).await;
    let namespace = || "/".into();
    for (arguments, want) in [
        (
            &["-t", "s", "--join", "r", "--join", "q"][..],
            Message::Join {
                namespace: namespace(),
                target: Target::room("s"),
                rooms: vec!["r".into(), "q".into()],
                confirm: None,
            },
        ),
        (
            &["--everyone", "--leave", "r"],
            Message::Leave {
                namespace: namespace(),
                target: Target::everyone(),
                rooms: vec!["r".into()],
                confirm: None,
            },
        ),
        (
            &["-n", "/a", "--close-room", "r"],
            Message::CloseRoom { namespace: "/a".into(), room: "r".into(), confirm: None },
        ),
        (
            &["-x", "s", "--disconnect", "--close"],
            Message::Disconnect {
                namespace: namespace(),
                target: Target::everyone().except("s"),
                close: true,
                confirm: None,
            },
        ),
        (
            &["--server", "reload", "1"],
            Message::ServerEvent {
                namespace: namespace(),
                event: "reload".into(),
                args: 1.into_args().expect("an argument"),
            },
        ),
    ] {
        let done = run(&redis, arguments);
        assert_eq!(done.status, 0, "{}", done.err);
        assert_eq!(subscriber.native().await.message, want);
    }
    let done = run(&redis, &["-t", "s", "--disconnect", "--json"]);
    assert_eq!(json_lines(&done.out), [json!({"operation": "disconnect", "receivers": 1})]);
}

#[tokio::test]
async fn many_events_from_standard_input() {
    const EVENTS: u64 = 20_000;
    let redis = Redis::start();
    let mut subscriber = redis.subscribe(CHANNEL).await;
    let mut input = Vec::new();
    for number in 0..EVENTS {
        match number % 3 {
            0 => writeln!(input, r#"["tick",{number},"é"]"#),
            1 => {
                writeln!(input, r#" {{"event":"tick","args":[{number}],"namespace":"/n","to":["a","b"]}}  "#)
            }
            _ => writeln!(input, "\n{{\"event\":\"tick\",\"args\":[{number}],\"except\":\"c\"}}"),
        }
        .expect("memory");
    }
    input.pop();
    let done = run_with(&redis, &["-t", "r"], &input);
    assert_eq!((done.status, done.out.as_str()), (0, ""), "{}", done.err);
    assert!(done.err.starts_with(&format!("{EVENTS} events taken by redis://")), "{}", done.err);
    assert!(done.err.trim_end().ends_with("0 lost"), "{}", done.err);
    for number in 0..EVENTS {
        let (namespace, event, args, target) = next_emit(&mut subscriber).await;
        assert_eq!((event.as_str(), args.first::<u64>()), ("tick", Ok(number)), "in order");
        let want = match number % 3 {
            0 => ("/", Target::room("r")),
            1 => ("/n", Target::room("a").to("b")),
            _ => ("/", Target::room("r").except("c")),
        };
        assert_eq!((namespace.as_str(), target), want);
    }
}

#[tokio::test]
async fn lines_that_are_wrong_are_named_and_the_others_are_sent() {
    let redis = Redis::start();
    let mut subscriber = redis.subscribe(CHANNEL).await;
    let input = b"[\"a\",1]\noops\n[\"disconnect\"]\n\n{\"event\":\"b\",\"room\":1}\n\xff\n[\"c\"]";
    let done = run_with(&redis, &["--json"], input);
    assert_eq!(done.status, 1);
    let lines = json_lines(&done.out);
    let of =
        |line: u64| lines.iter().find(|record| record["line"] == line).expect("every line that is not blank");
    assert_eq!(*of(1), json!({"line": 1, "event": "a", "receivers": 1}));
    assert_eq!(*of(7), json!({"line": 7, "event": "c", "receivers": 1}));
    assert_eq!((&of(3)["event"], &of(3)["error"]), (&json!("disconnect"), &json!("reserved")));
    for (line, words) in [(2, "neither a list"), (5, "unknown field `room`"), (6, "UTF-8")] {
        assert_eq!(of(line)["error"], "input");
        assert!(of(line)["message"].as_str().expect("text").contains(words), "{}", of(line));
        assert!(done.err.contains(&format!("line {line}: ")), "{}", done.err);
    }
    assert_eq!(lines.len(), 6);
    assert!(done.err.contains("2 events taken") && done.err.contains("4 lost"), "{}", done.err);
    assert_eq!(next_emit(&mut subscriber).await.1, "a");
    assert_eq!(next_emit(&mut subscriber).await.1, "c");

    let done = run_with(&redis, &["--strict", "--quiet"], b"[\"a\",1]\noops\n[\"c\"]\n");
    assert_eq!(done.status, 1);
    assert!(done.err.contains("line 2: ") && done.err.contains("1 event taken"), "{}", done.err);
    assert_eq!(next_emit(&mut subscriber).await.1, "a");
    assert_eq!(run(&redis, &["mark"]).status, 0);
    assert_eq!(next_emit(&mut subscriber).await.1, "mark", "nothing after the wrong line");
}

#[tokio::test]
async fn a_wrong_command_line_is_explained() {
    let redis = Redis::absent();
    for (arguments, words) in [
        (&["news", "It snows."][..], r#"'"It snows."'"#),
        (&["--join", "r"], "--everyone"),
        (&["--dialect", "klingon", "ev"], "native and python"),
        (&["--nonsense"], "--nonsense"),
        (&["--bus", "pigeon://u:secret@h", "ev"], "pigeon"),
        (&["--bus", "redis://u:secret@h?dialect=klingon", "ev"], "native and python"),
        (&["--timeout", "0", "ev"], "--timeout"),
    ] {
        let done = run(&redis, arguments);
        assert_eq!((done.status, done.out.as_str()), (2, ""), "{arguments:?}: {}", done.err);
        assert!(done.err.contains(words) && !done.err.contains("secret"), "{arguments:?}: {}", done.err);
        assert!(done.err.contains("--help"), "{}", done.err);
    }
    let mut help = command(&redis, &["--help"]);
    let help: Done = help.env("SOCKEYE_BUS", "redis://u:secret@h").output().expect("the program").into();
    assert_eq!(help.status, 0);
    assert!(help.out.contains("Examples:") && help.out.contains("SOCKEYE_BUS"), "{}", help.out);
    assert!(!help.out.contains("secret"), "{}", help.out);
}

#[tokio::test]
async fn the_channel_and_the_dialect_can_be_chosen() {
    let redis = Redis::start();
    let mut subscriber = redis.subscribe(&["shop:sockeye", "socketio"]).await;
    let mut shop = command(&redis, &["ev", "1"]);
    let done: Done = shop.env("SOCKEYE_CHANNEL", "shop").output().expect("the program").into();
    assert!(done.err.contains("1 subscriber"), "{}", done.err);
    assert_eq!(next_emit(&mut subscriber).await.1, "ev");
    let done = run(&redis, &["--channel", "other", "ev", "1"]);
    assert!(done.status == 0 && done.err.contains("nobody heard it"), "{}", done.err);

    assert_eq!(run(&redis, &["--dialect", "python", "-x", "s", "ev", "1"]).status, 0);
    let PythonMessage::Emit { event, target, .. } = subscriber.python().await.message else {
        panic!("an emit")
    };
    assert_eq!((&*event, target), ("ev", Target::everyone().except("s")));
    let url = format!("{}?dialect=python", redis.url());
    assert_eq!(run(&redis, &["--bus", &url, "-t", "s", "--disconnect"]).status, 0);
    assert!(matches!(subscriber.python().await.message, PythonMessage::Disconnect { .. }));
    let done = run(&redis, &["--dialect", "python", "-t", "s", "--disconnect", "--close", "--json"]);
    assert_eq!((done.status, &json_lines(&done.out)[0]["error"]), (1, &json!("dialect")));
    assert!(done.err.contains("disconnect: lost: "), "{}", done.err);
}

#[tokio::test]
async fn without_a_broker_it_says_so_and_fails() {
    let redis = Redis::absent();
    let url = format!("redis://:secret@127.0.0.1:{}", redis.port);
    let done = run(&redis, &["--bus", &url, "--timeout", "0.5", "--json", "ev", "1"]);
    assert_eq!(done.status, 1);
    assert_eq!(json_lines(&done.out)[0]["error"], "unreached");
    assert!(done.err.contains("ev: lost: ") && done.err.contains("Redis"), "{}", done.err);
    let bulk = run_with(&redis, &["--bus", &url, "--timeout", "0.5"], b"[\"ev\"]\n");
    assert_eq!(bulk.status, 1);
    assert!(bulk.err.contains("nothing was sent"), "{}", bulk.err);
    for text in [done.out, done.err, bulk.err] {
        assert!(!text.contains("secret"), "{text}");
    }
}

/// A bulk run whose output can be waited for.
struct Bulk {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
}

impl Bulk {
    fn start(redis: &Redis, arguments: &[&str]) -> Self {
        let mut child = command(redis, &[arguments, &["--json"]].concat()).spawn().expect("the program");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, out }
    }

    fn write(&mut self, numbers: std::ops::Range<u64>) {
        let lines: String = numbers.map(|number| format!("[\"ev\",{number}]\n")).collect();
        self.child.stdin.as_mut().expect("open").write_all(lines.as_bytes()).expect("it reads");
    }

    fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        let read = self.out.read_line(&mut line).expect("text");
        (read > 0).then(|| serde_json::from_str(&line).expect("JSON"))
    }

    /// The rest of the output, and the end.
    fn finish(mut self) -> (Vec<Value>, Done) {
        drop(self.child.stdin.take());
        let rest = std::iter::from_fn(|| self.next()).collect();
        (rest, finish(self.child))
    }
}

#[tokio::test]
async fn an_outage_in_the_middle_is_waited_for() {
    let mut redis = Redis::start();
    let mut bulk = Bulk::start(&redis, &["--timeout", "120"]);
    bulk.write(0..100);
    for line in 1..=100 {
        assert_eq!(bulk.next(), Some(json!({"line": line, "event": "ev", "receivers": 0})));
    }
    redis.stop();
    bulk.write(100..3000);
    let port = redis.port;
    let listening = tokio::spawn(async move { Subscriber::open(port, CHANNEL).await });
    redis.start_again();
    let mut subscriber = listening.await.expect("no panic");
    let (rest, done) = bulk.finish();
    assert_eq!((rest.len(), done.status), (2900, 0), "{}", done.err);
    let mut last = None;
    while last != Some(2999) {
        last = next_emit(&mut subscriber).await.2.first::<u64>().ok();
    }
}

#[tokio::test]
async fn a_broker_that_stays_away_is_given_up_and_every_event_is_accounted_for() {
    let mut redis = Redis::start();
    let mut bulk = Bulk::start(&redis, &["--timeout", "1"]);
    bulk.write(0..100);
    for _ in 0..100 {
        assert_eq!(bulk.next().expect("a line")["receivers"], 0);
    }
    redis.stop();
    bulk.write(100..200);
    let (rest, done) = bulk.finish();
    assert_eq!((rest.len(), done.status), (100, 1), "{}", done.err);
    assert!(rest.iter().all(|record| record["error"] == "timeout"), "{rest:?}");
    assert!(done.err.contains("gave up") && done.err.contains("100 events taken"), "{}", done.err);
    assert!(done.err.contains("100 lost"), "{}", done.err);
}

#[tokio::test]
async fn an_interrupt_ends_it_and_says_how_far_it_was() {
    let redis = Redis::start();
    let mut bulk = Bulk::start(&redis, &[]);
    bulk.write(0..10);
    for _ in 0..10 {
        assert_eq!(bulk.next().expect("a line")["receivers"], 0);
    }
    support::send_signal(bulk.child.id(), "INT");
    // Its standard input stays open: it does not wait for the end of that.
    assert_eq!(bulk.next(), None);
    let done = finish(bulk.child);
    assert_eq!(done.status, 1);
    assert!(
        done.err.contains("interrupted after line 10") && done.err.contains("10 events taken"),
        "{}",
        done.err
    );
}

#[tokio::test]
async fn a_broker_that_does_not_answer_is_given_up() {
    let redis = Redis::start();
    redis.signal("STOP");
    let done = run(&redis, &["--timeout", "0.5", "ev"]);
    assert_eq!(done.status, 1, "{}", done.err);
    assert!(done.err.contains("ev: lost: "), "{}", done.err);
}
