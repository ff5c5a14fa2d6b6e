//! The supervisor on this driver: what happens when links break and come back.

use super::{
    Check, Context, Done, Failure, Outcome, SOON, ends_link, expect, fail, numbered, payloads_of, to_all,
};
use crate::{
    bus::{Bus, Events},
    config::BusConfig,
    message::{Inbound, Outbound, Topic},
    observer::Event,
};
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::time::timeout;

pub(super) const CHECKS: &[(&str, Check)] = &[
    ("a bus publishes and hears", |c| Box::pin(through_bus(c))),
    ("a broken link is noticed by its reader", |c| Box::pin(noticed(c))),
    ("after a break the bus is subscribed again and sends what waited, in order", |c| {
        Box::pin(comes_back(c))
    }),
];

const NO_CUT: Outcome = Ok(Done::DoesNotApply("no way to break links was given"));

fn open(c: &Context<'_>, subscribe: &[Topic]) -> Result<(Bus, Events), Failure> {
    let config = BusConfig {
        subscribe: subscribe.to_vec(),
        probe_interval: Duration::from_millis(200),
        probe_timeout: Duration::from_secs(2),
        backoff_min: Duration::from_millis(10),
        backoff_max: Duration::from_millis(200),
        hold_after_outage: Duration::from_secs(30),
        ..BusConfig::default()
    };
    Ok(Bus::with_driver((c.make)(), config, Arc::new(()))?)
}

async fn next(events: &mut Events) -> Result<Event, Failure> {
    match timeout(SOON, events.recv()).await {
        Ok(Some(event)) => Ok(event),
        Ok(None) => fail("the bus ended"),
        Err(_) => fail(format!("no event within {SOON:?}")),
    }
}

async fn through_bus(c: &Context<'_>) -> Outcome {
    let (a, _silent) = open(c, &[])?;
    let (b, mut events) = open(c, &[Topic::All])?;
    b.connected(SOON).await?;
    let messages = numbered("m", 2000);
    for message in &messages {
        a.publish_detached(message.clone());
    }
    if c.caps().echoes_own {
        b.publish_detached(Outbound::new(Topic::node("nobody"), b"x".to_vec()));
    }
    expect("the first event", &next(&mut events).await?, &Event::Up { first: true, epoch: 1 })?;
    let mut came = Vec::new();
    while came.len() < messages.len() {
        match next(&mut events).await? {
            Event::Message(Inbound { payload, .. }) => came.push(payload.to_vec()),
            other => return fail(format!("unexpected {other:?}")),
        }
    }
    if c.caps().ordered {
        expect("messages", &came, &payloads_of(&messages))?;
    }
    a.close().await;
    b.close().await;
    Ok(Done::Passed)
}

async fn noticed(c: &Context<'_>) -> Outcome {
    let Some(cut) = c.cut else { return NO_CUT };
    let mut peer = c.link(&[Topic::All]).await?;
    cut().await;
    let Some(rx) = &mut peer.rx else { return fail("this link does not listen") };
    loop {
        match timeout(SOON, rx.recv()).await {
            Ok(Err(error)) if ends_link(error.kind()) => return Ok(Done::Passed),
            Ok(_) => {}
            Err(_) => return fail("the reader of a broken link waits for ever"),
        }
    }
}

async fn comes_back(c: &Context<'_>) -> Outcome {
    let Some(cut) = c.cut else { return NO_CUT };
    let (bus, mut events) = open(c, &[Topic::All])?;
    bus.connected(SOON).await?;
    expect("the first event", &next(&mut events).await?, &Event::Up { first: true, epoch: 1 })?;
    bus.publish(to_all("before")).await?;
    expect("a message before the break", &message(&mut events).await?, &b"before".to_vec())?;
    cut().await;
    loop {
        match next(&mut events).await? {
            Event::Down { .. } => {}
            Event::Up { first: false, .. } => break,
            other => return fail(format!("after the break: {other:?}")),
        }
    }
    let messages = numbered("m", 1000);
    for message in &messages {
        bus.publish_detached(message.clone());
    }
    // Greetings pass the hold, and show that the subscription is back.
    let mut other = c.link(&[]).await?;
    bus.publish_control(to_all("greeting"));
    if c.caps().echoes_own {
        expect("what passes the hold", &message(&mut events).await?, &b"greeting".to_vec())?;
    }
    other.send(&[to_all("from another link")]).await?;
    expect("what another link says", &message(&mut events).await?, &b"from another link".to_vec())?;
    expect("what waits", &bus.spooled().0, &messages.len())?;
    let mut witness = c.link(&[Topic::All]).await?;
    bus.release();
    bus.flush(SOON).await?;
    let came = witness.payloads(messages.len()).await?;
    if c.caps().ordered {
        expect("what waited", &came, &payloads_of(&messages))?;
    } else {
        let set = |payloads: Vec<Vec<u8>>| payloads.into_iter().collect::<BTreeSet<_>>();
        expect("what waited", &set(came), &set(payloads_of(&messages)))?;
    }
    bus.close().await;
    Ok(Done::Passed)
}

async fn message(events: &mut Events) -> Result<Vec<u8>, Failure> {
    match next(events).await? {
        Event::Message(Inbound { payload, .. }) => Ok(payload.to_vec()),
        other => fail(format!("unexpected {other:?}")),
    }
}
