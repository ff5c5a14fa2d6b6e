//! What is published arrives: whole, in order, once, and only where it belongs.

use super::{
    Check, Context, Done, Failure, Outcome, expect, fail, numbered, payloads_of, to_all, until_alone,
};
use crate::message::{Inbound, Outbound, Topic};

pub(super) const CHECKS: &[(&str, Check)] = &[
    ("a message reaches another link with its topic", |c| Box::pin(reaches(c))),
    ("messages of one publisher keep their order", |c| Box::pin(order(c))),
    ("messages of two publishers keep the order of each", |c| Box::pin(two_orders(c))),
    ("every subscriber gets one copy", |c| Box::pin(one_copy(c))),
    ("a link hears its own messages exactly if it says so", |c| Box::pin(echo(c))),
    ("topics keep apart", |c| Box::pin(topics(c))),
    ("every byte arrives as it left", |c| Box::pin(binary(c))),
    ("an empty payload arrives", |c| Box::pin(empty(c))),
    ("a big payload arrives", |c| Box::pin(big(c))),
    ("the broker counts receivers exactly if it says so", |c| Box::pin(receivers(c))),
];

async fn reaches(c: &Context<'_>) -> Outcome {
    for topic in [Topic::All, Topic::node("0a1b2c3d4e5f"), Topic::Channel] {
        let mut subscriber = c.link(std::slice::from_ref(&topic)).await?;
        let mut publisher = c.link(&[]).await?;
        publisher.send(&[Outbound::new(topic.clone(), b"hello".to_vec())]).await?;
        let wanted = Inbound { topic, payload: (&b"hello"[..]).into() };
        expect("what came", &subscriber.recv().await?, &wanted)?;
    }
    Ok(Done::Passed)
}

async fn order(c: &Context<'_>) -> Outcome {
    let mut subscriber = c.link(&[Topic::All]).await?;
    let mut publisher = c.link(&[]).await?;
    let messages = numbered("m", 3000);
    let mut rest = &messages[..];
    // All sizes of batches, the lone message among them.
    for size in (1..).map(|n| n % 77 + 1) {
        let (batch, more) = rest.split_at(size.min(rest.len()));
        publisher.send(batch).await?;
        rest = more;
        if rest.is_empty() {
            break;
        }
    }
    let mut came = subscriber.payloads(messages.len()).await?;
    let mut wanted = payloads_of(&messages);
    if !c.caps().ordered {
        came.sort();
        wanted.sort();
    }
    if came == wanted {
        Ok(Done::Passed)
    } else {
        fail("messages came in another order, twice, or not at all")
    }
}

async fn two_orders(c: &Context<'_>) -> Outcome {
    if !c.caps().ordered {
        return Ok(Done::DoesNotApply("the broker keeps no order"));
    }
    let mut subscriber = c.link(&[Topic::All]).await?;
    let mut a = c.link(&[]).await?;
    let mut b = c.link(&[]).await?;
    let (of_a, of_b) = (numbered("a", 500), numbered("b", 500));
    for (batch_a, batch_b) in of_a.chunks(7).zip(of_b.chunks(7)) {
        futures_util::future::try_join(a.send(batch_a), b.send(batch_b)).await?;
    }
    let came = subscriber.payloads(of_a.len() + of_b.len()).await?;
    let only = |tag: u8| came.iter().filter(|p| p.first() == Some(&tag)).cloned().collect::<Vec<_>>();
    expect("the first publisher's", &only(b'a'), &payloads_of(&of_a))?;
    expect("the second publisher's", &only(b'b'), &payloads_of(&of_b))?;
    Ok(Done::Passed)
}

async fn one_copy(c: &Context<'_>) -> Outcome {
    let mut subscribers = Vec::new();
    for _ in 0..3 {
        subscribers.push(c.link(&[Topic::All, Topic::Channel]).await?);
    }
    let mut publisher = c.link(&[]).await?;
    let messages = numbered("m", 100);
    publisher.send(&messages).await?;
    publisher.send(&[to_all("end")]).await?;
    for subscriber in &mut subscribers {
        let came = subscriber.payloads(101).await?;
        expect("messages", &came[..100].to_vec(), &payloads_of(&messages))?;
        expect("the last one", &came[100], &b"end".to_vec())?;
    }
    Ok(Done::Passed)
}

async fn echo(c: &Context<'_>) -> Outcome {
    let mut both = c.link(&[Topic::All]).await?;
    let mut other = c.link(&[]).await?;
    both.send(&[to_all("own")]).await?;
    other.send(&[to_all("other")]).await?;
    let first = both.recv().await?.payload;
    let wanted: &[u8] = if c.caps().echoes_own { b"own" } else { b"other" };
    expect("the first message", &&first[..], &wanted)?;
    Ok(Done::Passed)
}

async fn topics(c: &Context<'_>) -> Outcome {
    let all_topics = [Topic::All, Topic::node("a"), Topic::node("ab"), Topic::node("b"), Topic::Channel];
    let mut publisher = c.link(&[]).await?;
    for own in &all_topics {
        let mut subscriber = c.link(std::slice::from_ref(own)).await?;
        let mut batch: Vec<Outbound> = Vec::new();
        for other in all_topics.iter().filter(|t| *t != own) {
            batch.push(Outbound::new(other.clone(), format!("for {other}").into_bytes()));
        }
        batch.push(Outbound::new(own.clone(), b"mine".to_vec()));
        publisher.send(&batch).await?;
        let came = subscriber.recv().await?;
        let wanted = Inbound { topic: own.clone(), payload: (&b"mine"[..]).into() };
        if came != wanted {
            return fail(format!("a link that asked for '{own}' heard {came:?}"));
        }
    }
    Ok(Done::Passed)
}

async fn round_trip(c: &Context<'_>, payload: Vec<u8>) -> Result<(), Failure> {
    let mut subscriber = c.link(&[Topic::All]).await?;
    let mut publisher = c.link(&[]).await?;
    publisher.send(&[to_all(payload.clone()), to_all("end")]).await?;
    let came = subscriber.payloads(2).await?;
    if came[0] != payload {
        return fail(format!("{} bytes left, {} came, and they differ", payload.len(), came[0].len()));
    }
    expect("the message behind it", &came[1], &b"end".to_vec())
}

async fn binary(c: &Context<'_>) -> Outcome {
    let mut payload: Vec<u8> = (0..=255).collect();
    payload.extend_from_slice(b"\r\n$5\r\nhello\r\n\0\0");
    payload.extend((0..=255).rev());
    round_trip(c, payload).await.map(|()| Done::Passed)
}

async fn empty(c: &Context<'_>) -> Outcome {
    round_trip(c, Vec::new()).await.map(|()| Done::Passed)
}

async fn big(c: &Context<'_>) -> Outcome {
    let size = c.caps().max_payload.unwrap_or(usize::MAX).min(5 << 20);
    round_trip(c, (0..size).map(|at| (at % 251) as u8).collect()).await.map(|()| Done::Passed)
}

/// A link of an earlier check may be given up by the broker only now, so a wrong count is believed when it stays wrong.
async fn receivers(c: &Context<'_>) -> Outcome {
    let mut outcome = count_receivers(c).await;
    for _ in 0..4 {
        if outcome.is_ok() {
            break;
        }
        outcome = count_receivers(c).await;
    }
    outcome
}

async fn count_receivers(c: &Context<'_>) -> Outcome {
    let mut publisher = c.link(&[]).await?;
    if c.caps().counts_receivers {
        until_alone(&mut publisher).await?;
    }
    let mut subscribers = Vec::new();
    for wanted in 0..3 {
        let answers = publisher.send(&[to_all("one"), to_all("two"), to_all("three")]).await?;
        for answer in answers {
            let wanted = c.caps().counts_receivers.then_some(wanted);
            expect("receivers", &answer.receivers, &wanted)?;
        }
        subscribers.push(c.link(&[Topic::All]).await?);
    }
    Ok(Done::Passed)
}
