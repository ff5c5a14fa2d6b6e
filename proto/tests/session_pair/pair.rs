//! A server around [`Session`], a client that behaves like the JavaScript one, and a network of random delays between
//! them, all on virtual time.

use std::collections::{BTreeMap, VecDeque};

use sockeye_proto::Time;
use sockeye_proto::eio::{CloseReason, Lane, Protocol, Session, Settings, TransportKind};

use crate::client::{Client, Manners};

/// What travels. Requests and answers of HTTP overtake each other, WebSocket frames do not.
#[derive(Clone, Debug)]
pub(crate) enum Wire {
    Get,
    Post(Vec<String>),
    WsOpen,
    WsUp(String),
    /// The client closed the WebSocket that it probed.
    WsLost,
    GetAnswer(Result<Vec<String>, u16>),
    PostAnswer,
    WsDown(String),
    WsGone,
}

/// What happens at a moment that a test chose.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// The client sends a message.
    ClientSays(String),
    /// The server sends a message.
    ServerSays(String),
    /// The client opens a WebSocket and probes it.
    Upgrade,
    /// The client closes the WebSocket that it probes.
    LoseProbe,
    /// The client sends this packet on its WebSocket, whatever it is.
    Raw(&'static str),
    /// A second GET, although one waits.
    PollTwice,
    /// The client is gone without a word.
    Vanish,
    /// The server stops reading its WebSocket, or goes on.
    Pause(bool),
    /// The client leaves politely.
    Leave,
}

/// A client, a server and the network between them.
pub(crate) struct Pair {
    pub(crate) now: u64,
    pub(crate) session: Session,
    pub(crate) settings: Settings,
    /// Messages that reached the server.
    pub(crate) at_server: Vec<String>,
    /// When and why the server closed.
    pub(crate) closed: Option<(u64, CloseReason)>,
    /// When the client gave up, missing pings.
    pub(crate) client_gave_up: Option<u64>,
    /// Pings that the server sent.
    pub(crate) pings: usize,
    /// Probed transports that the server closed.
    pub(crate) probes_dropped: Vec<u64>,
    /// Statuses of refused polls.
    pub(crate) refused: Vec<u16>,
    pub(crate) client: Client,
    pub(crate) outbox: VecDeque<String>,
    pub(crate) lane: Option<Lane>,
    pub(crate) get_pending: bool,
    pub(crate) paused: bool,
    pub(crate) unread: VecDeque<String>,
    acts: BTreeMap<(u64, u64), Act>,
    net: BTreeMap<(u64, u64), Wire>,
    sequence: u64,
    /// When the last frame of either direction arrives.
    ws_free: [u64; 2],
    random: u64,
    delay: u64,
}

impl Pair {
    /// A session on `transport` that was just opened, over a network that takes 1 to `delay` milliseconds a message.
    pub(crate) fn new(
        transport: TransportKind,
        settings: Settings,
        manners: Manners,
        delay: u64,
        seed: u64,
    ) -> Self {
        let websocket = transport == TransportKind::WebSocket;
        let mut pair = Self {
            now: 0,
            session: Session::open(Time(0), transport, Protocol::V4, &settings),
            settings,
            at_server: Vec::new(),
            closed: None,
            client_gave_up: None,
            pings: 0,
            probes_dropped: Vec::new(),
            refused: Vec::new(),
            client: Client { manners, websocket, ..Client::default() },
            outbox: VecDeque::new(),
            lane: websocket.then_some(Lane::Main),
            get_pending: false,
            paused: false,
            unread: VecDeque::new(),
            acts: BTreeMap::new(),
            net: BTreeMap::new(),
            sequence: 0,
            ws_free: [0; 2],
            random: seed | 1,
            delay,
        };
        pair.client_flush();
        pair
    }

    /// Messages that reached the client.
    pub(crate) fn at_client(&self) -> &[String] {
        &self.client.received
    }

    /// Lets something happen later.
    pub(crate) fn at(&mut self, time: u64, act: Act) {
        self.sequence += 1;
        self.acts.insert((time, self.sequence), act);
    }

    /// Runs until `end`, one event after the other. What the network brings comes before deadlines of the same moment.
    pub(crate) fn run(&mut self, end: u64) {
        loop {
            let act = self.acts.first_key_value().map(|(key, _)| key.0);
            let wire = self.net.first_key_value().map(|(key, _)| key.0);
            let due = Some(self.session.next_deadline().0).filter(|due| *due != u64::MAX);
            let longest = self.settings.ping_interval + self.settings.ping_timeout;
            let patience = Some(Time(self.client.last_ping).plus(longest).0).filter(|_| !self.client.gone);
            let Some(next) = [act, wire, due, patience].into_iter().flatten().min().filter(|t| *t <= end)
            else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            if act == Some(next) {
                let act = self.acts.pop_first().map(|(_, act)| act).expect("an act");
                self.act(act);
            } else if wire == Some(next) {
                let wire = self.net.pop_first().map(|(_, wire)| wire).expect("a message");
                self.arrive(wire);
            } else if due == Some(next) {
                self.timers();
            } else {
                self.client_gave_up = Some(self.now);
                self.client.gone = true;
            }
        }
    }

    pub(crate) fn send(&mut self, wire: Wire) {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let mut arrival = self.now + 1 + (self.random >> 20) % self.delay;
        let stream = match wire {
            Wire::WsOpen | Wire::WsUp(_) | Wire::WsLost => Some(0),
            Wire::WsDown(_) | Wire::WsGone => Some(1),
            _ => None,
        };
        if let Some(stream) = stream {
            arrival = arrival.max(self.ws_free[stream]);
            self.ws_free[stream] = arrival;
        }
        self.sequence += 1;
        self.net.insert((arrival, self.sequence), wire);
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::ServerSays(text) => self.server_send(format!("4{text}")),
            Act::Pause(true) => {
                self.paused = true;
                self.session.pause_heartbeat(Time(self.now), &self.settings);
            }
            Act::Pause(false) => {
                self.paused = false;
                self.session.resume_heartbeat(Time(self.now));
                while let Some(text) = self.unread.pop_front() {
                    self.server_read_ws(&text);
                }
            }
            _ if self.client.gone => {}
            Act::ClientSays(text) => {
                self.client.outbox.push(format!("4{text}"));
                self.client_flush();
            }
            Act::Upgrade => {
                self.client.probing = true;
                self.send(Wire::WsOpen);
                self.send(Wire::WsUp("2probe".into()));
            }
            Act::LoseProbe => {
                self.client.probing = false;
                self.client.pausing = false;
                self.send(Wire::WsLost);
            }
            Act::Raw(text) => self.send(Wire::WsUp(text.into())),
            Act::PollTwice => self.send(Wire::Get),
            Act::Vanish => self.client.gone = true,
            Act::Leave => {
                self.client.outbox.push("1".into());
                self.client_flush();
                self.client.gone = true;
            }
        }
    }

    fn arrive(&mut self, wire: Wire) {
        match wire {
            Wire::Get | Wire::Post(_) | Wire::WsOpen | Wire::WsUp(_) | Wire::WsLost => self.server_take(wire),
            _ if !self.client.gone => self.client_take(wire),
            _ => {}
        }
    }
}
