//! Lists from other nodes, whose announced length is not believed.
//!
//! `SmallVec`'s own `Deserialize` reserves what a message announces, so that five bytes could make a node ask for 32 GiB.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use smallvec::{Array, SmallVec};

/// A short list that grows with what really comes.
pub(super) struct List<A: Array>(pub(super) SmallVec<A>);

impl<'de, A: Array> Deserialize<'de> for List<A>
where
    A::Item: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize(deserializer).map(Self)
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>, A: Array>(
    deserializer: D,
) -> Result<SmallVec<A>, D::Error>
where
    A::Item: Deserialize<'de>,
{
    struct ListVisitor<A>(PhantomData<A>);

    impl<'de, A: Array> Visitor<'de> for ListVisitor<A>
    where
        A::Item: Deserialize<'de>,
    {
        type Value = SmallVec<A>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<SmallVec<A>, S::Error> {
            let mut list = SmallVec::new();
            while let Some(element) = seq.next_element()? {
                list.push(element);
            }
            Ok(list)
        }
    }

    deserializer.deserialize_seq(ListVisitor(PhantomData))
}

pub(super) fn serialize<S: Serializer, A: Array>(list: &SmallVec<A>, serializer: S) -> Result<S::Ok, S::Error>
where
    A::Item: Serialize,
{
    list.as_slice().serialize(serializer)
}
