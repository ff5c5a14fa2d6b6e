//! Links: what connecting, changing topics, cancelling and dropping mean.

use super::{Check, Context, Done, Outcome, SOON, expect, fail, numbered, payloads_of, to_all, until_alone};
use crate::{
    error::ErrorKind,
    message::{Outbound, Topic},
};
use futures_util::FutureExt;
use tokio::time::timeout;

pub(super) const CHECKS: &[(&str, Check)] = &[
    ("a link without topics only writes", |c| Box::pin(write_only(c))),
    ("subscriptions are in force when connect resolves", |c| Box::pin(in_force(c))),
    ("a new link hears nothing that was published before", |c| Box::pin(nothing_old(c))),
    ("an empty batch is nothing", |c| Box::pin(empty_batch(c))),
    ("topics can change on an open link", |c| Box::pin(watch(c))),
    ("cancelling recv loses nothing", |c| Box::pin(cancel(c))),
    ("a dropped link is gone", |c| Box::pin(dropped(c))),
];

async fn write_only(c: &Context<'_>) -> Outcome {
    let mut publisher = c.link(&[]).await?;
    publisher.send(&[to_all("hello")]).await?;
    if c.caps().counts_receivers {
        until_alone(&mut publisher).await?;
    }
    Ok(Done::Passed)
}

async fn in_force(c: &Context<'_>) -> Outcome {
    let mut publisher = c.link(&[]).await?;
    for round in 0..20 {
        let mut subscriber = c.link(&[Topic::Channel, Topic::node("x"), Topic::All]).await?;
        let payload = format!("round {round}").into_bytes();
        publisher.send(&[to_all(payload.clone())]).await?;
        expect("the first message", &subscriber.payloads(1).await?[0], &payload)?;
    }
    Ok(Done::Passed)
}

async fn nothing_old(c: &Context<'_>) -> Outcome {
    if c.caps().replay.is_some() {
        return Ok(Done::DoesNotApply("the broker replays"));
    }
    let mut publisher = c.link(&[]).await?;
    publisher.send(&numbered("old", 10)).await?;
    let mut subscriber = c.link(&[Topic::All]).await?;
    publisher.send(&[to_all("new")]).await?;
    expect("the first message", &subscriber.payloads(1).await?[0], &b"new".to_vec())?;
    Ok(Done::Passed)
}

async fn empty_batch(c: &Context<'_>) -> Outcome {
    let mut publisher = c.link(&[]).await?;
    publisher.send(&[]).await?;
    publisher.send(&[to_all("still here")]).await?;
    Ok(Done::Passed)
}

async fn watch(c: &Context<'_>) -> Outcome {
    let (a, b) = (Topic::node("a"), Topic::node("b"));
    let mut peer = c.link(&[a.clone(), Topic::All]).await?;
    let Ok(changed) = timeout(SOON, peer.tx.watch(std::slice::from_ref(&b), std::slice::from_ref(&a))).await
    else {
        return fail("watch did not resolve");
    };
    match changed {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            return Ok(Done::DoesNotApply("links of this driver cannot change topics"));
        }
        changed => changed?,
    }
    let mut publisher = c.link(&[]).await?;
    let message = |topic: &Topic| Outbound::new(topic.clone(), topic.to_string().into_bytes());
    publisher.send(&[message(&a), message(&b), message(&Topic::All)]).await?;
    expect("the first message", &peer.recv().await?.topic, &b)?;
    expect("the second message", &peer.recv().await?.topic, &Topic::All)?;
    Ok(Done::Passed)
}

async fn cancel(c: &Context<'_>) -> Outcome {
    let mut subscriber = c.link(&[Topic::All]).await?;
    let mut publisher = c.link(&[]).await?;
    let messages = numbered("m", 500);
    let mut came = Vec::new();
    for batch in messages.chunks(10) {
        // Asked and given up before, while and after the messages are on their way.
        let Some(rx) = &mut subscriber.rx else { return fail("this link does not listen") };
        for _ in 0..3 {
            if let Some(message) = rx.recv().now_or_never() {
                came.push(message?.payload.to_vec());
            }
            tokio::task::yield_now().await;
        }
        publisher.send(batch).await?;
        let Some(rx) = &mut subscriber.rx else { return fail("this link does not listen") };
        while let Some(message) = rx.try_recv() {
            came.push(message?.payload.to_vec());
        }
    }
    let left = messages.len() - came.len();
    came.extend(subscriber.payloads(left).await?);
    expect("messages", &came, &payloads_of(&messages))?;
    Ok(Done::Passed)
}

async fn dropped(c: &Context<'_>) -> Outcome {
    if !c.caps().counts_receivers {
        return Ok(Done::DoesNotApply("only a broker that counts receivers can tell"));
    }
    let subscriber = c.link(&[Topic::All]).await?;
    let mut publisher = c.link(&[]).await?;
    expect("receivers", &publisher.send(&[to_all("here")]).await?[0].receivers, &Some(1))?;
    drop(subscriber);
    let gone = async {
        while publisher.send(&[to_all("gone?")]).await?[0].receivers != Some(0) {
            tokio::task::yield_now().await;
        }
        Ok(Done::Passed)
    };
    timeout(SOON, gone)
        .await
        .unwrap_or_else(|_| fail("the broker still hands messages to a link that was dropped"))
}
