//! A server around [`Session`], a client that behaves like the JavaScript one, and a network of random delays between
//! them, all on virtual time.

use std::collections::{BTreeMap, VecDeque};

use sockeye_proto::Time;
use sockeye_proto::eio::{CloseReason, Due, Lane, Overlap, Packet, Session, Settings, Step, TransportKind};

/// What travels. Requests and answers of HTTP overtake each other, WebSocket frames do not.
#[derive(Clone, Debug)]
enum Wire {
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

/// How a client deviates from a good one.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct Manners {
    /// Never answers a ping.
    pub(crate) deaf: bool,
    /// Never sends `5`.
    pub(crate) never_upgrades: bool,
}

#[derive(Default)]
struct Client {
    manners: Manners,
    websocket: bool,
    gone: bool,
    get_waits: bool,
    post_waits: bool,
    /// `3probe` came: no further GET, and `5` once nothing waits.
    pausing: bool,
    probing: bool,
    outbox: Vec<String>,
    last_ping: u64,
    received: Vec<String>,
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
    client: Client,
    outbox: VecDeque<String>,
    lane: Option<Lane>,
    get_pending: bool,
    paused: bool,
    unread: VecDeque<String>,
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
            session: Session::open(Time(0), transport, &settings),
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

    fn send(&mut self, wire: Wire) {
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

    // ---- the server, as a node would do it ----

    fn server_take(&mut self, wire: Wire) {
        match wire {
            Wire::Get => match self.session.poll_started() {
                Ok(()) => {
                    self.get_pending = true;
                    self.server_flush();
                }
                Err(overlap) => {
                    self.send(Wire::GetAnswer(Err(400)));
                    if overlap == Overlap::Busy {
                        self.close(CloseReason::TransportError);
                    }
                }
            },
            Wire::Post(packets) => {
                if self.session.post_started().is_ok() {
                    for packet in &packets {
                        self.server_packet(Lane::Main, packet);
                    }
                    self.session.post_ended();
                }
                self.send(Wire::PostAnswer);
            }
            Wire::WsOpen => {
                if self.session.begin_probe(Time(self.now), &self.settings).is_ok() {
                    self.lane = Some(Lane::Probe);
                } else {
                    self.send(Wire::WsGone);
                }
            }
            Wire::WsLost => {
                if self.lane == Some(Lane::Probe) {
                    self.session.probe_lost();
                    self.lane = None;
                }
            }
            Wire::WsUp(text) if self.paused => self.unread.push_back(text),
            Wire::WsUp(text) => self.server_read_ws(&text),
            _ => unreachable!("not for the server"),
        }
    }

    fn server_read_ws(&mut self, text: &str) {
        if let Some(lane) = self.lane {
            self.server_packet(lane, text);
        }
    }

    fn server_packet(&mut self, lane: Lane, text: &str) {
        let Ok(packet) = Packet::decode_text(text) else { return self.close(CloseReason::ParseError) };
        match self.session.receive(Time(self.now), lane, packet, &self.settings) {
            Step::Ignore | Step::Binary(_) => {}
            Step::Text(text) => self.at_server.push(text.into_owned()),
            Step::ReplyProbe => {
                self.send(Wire::WsDown("3probe".into()));
                self.server_flush();
            }
            Step::Upgraded => {
                self.lane = Some(Lane::Main);
                self.end_get(vec!["6".into()]);
                self.server_flush();
            }
            Step::ClosedByPeer => {
                self.end_get(vec!["6".into()]);
                self.close(CloseReason::TransportClose);
            }
            Step::Fail(reason) => self.close(reason),
            Step::DropProbe => self.drop_probe(),
        }
    }

    fn timers(&mut self) {
        loop {
            match self.session.handle_timeout(Time(self.now), &self.settings) {
                Due::Nothing => return,
                Due::SendPing => {
                    self.pings += 1;
                    self.server_send("2".into());
                }
                Due::DropProbe => self.drop_probe(),
                Due::Fail(reason) => self.close(reason),
            }
        }
    }

    fn server_send(&mut self, packet: String) {
        self.outbox.push_back(packet);
        self.server_flush();
    }

    fn server_flush(&mut self) {
        if self.session.is_closed() {
            return;
        }
        if self.session.transport() == TransportKind::WebSocket {
            for packet in std::mem::take(&mut self.outbox) {
                self.send(Wire::WsDown(packet));
            }
        } else if self.get_pending {
            if !self.outbox.is_empty() {
                let packets = self.outbox.drain(..).collect();
                self.end_get(packets);
            } else if self.session.polls_get_noop() {
                self.end_get(vec!["6".into()]);
            }
        }
    }

    fn end_get(&mut self, packets: Vec<String>) {
        if std::mem::take(&mut self.get_pending) {
            self.session.poll_ended();
            self.send(Wire::GetAnswer(Ok(packets)));
        }
    }

    fn drop_probe(&mut self) {
        self.probes_dropped.push(self.now);
        self.lane = None;
        self.send(Wire::WsGone);
    }

    fn close(&mut self, reason: CloseReason) {
        if self.session.close(reason) {
            assert!(self.closed.is_none(), "closed twice");
            self.closed = Some((self.now, reason));
            self.end_get(vec!["1".into()]);
            if self.lane.take().is_some() {
                self.send(Wire::WsGone);
            }
        }
    }

    // ---- the client, as engine.io-client does it ----

    fn client_take(&mut self, wire: Wire) {
        match wire {
            Wire::GetAnswer(Ok(packets)) => {
                self.client.get_waits = false;
                for packet in packets {
                    self.client_packet(&packet);
                }
            }
            Wire::GetAnswer(Err(status)) => self.refused.push(status),
            Wire::PostAnswer => self.client.post_waits = false,
            Wire::WsDown(text) if text == "3probe" => {
                self.client.pausing = self.client.probing && !self.client.manners.never_upgrades;
            }
            Wire::WsDown(text) => self.client_packet(&text),
            Wire::WsGone if self.client.websocket => self.client.gone = true,
            Wire::WsGone => {
                self.client.probing = false;
                self.client.pausing = false;
            }
            _ => unreachable!("not for the client"),
        }
        self.client_flush();
    }

    fn client_packet(&mut self, text: &str) {
        match Packet::decode_text(text).expect("servers send packets") {
            Packet::Message(text) => self.client.received.push(text.into_owned()),
            Packet::Ping(_) => {
                self.client.last_ping = self.now;
                if !self.client.manners.deaf {
                    self.client.outbox.push("3".into());
                }
            }
            Packet::Close => self.client.gone = true,
            _ => {}
        }
    }

    fn client_flush(&mut self) {
        if self.client.gone {
            return;
        }
        let client = &mut self.client;
        if client.pausing && !client.get_waits && !client.post_waits {
            client.pausing = false;
            client.probing = false;
            client.websocket = true;
            self.send(Wire::WsUp("5".into()));
        }
        let client = &mut self.client;
        if client.websocket {
            for text in std::mem::take(&mut client.outbox) {
                self.send(Wire::WsUp(text));
            }
            return;
        }
        if !client.post_waits && !client.pausing && !client.outbox.is_empty() {
            client.post_waits = true;
            let packets = std::mem::take(&mut client.outbox);
            self.send(Wire::Post(packets));
        }
        let client = &mut self.client;
        if !client.get_waits && !client.pausing {
            client.get_waits = true;
            self.send(Wire::Get);
        }
    }
}
