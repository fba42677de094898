use crate::{DatagramParser, SessionParser};

/// Makes the parser of each TCP flow.
///
/// Every parser that is `Default + Clone` is a factory of its own clones, and so is every closure
/// from a key to a parser. `Marker` only keeps the two apart; it is always inferred.
pub trait SessionParserFactory<K, Marker = ByClone>: Send + 'static {
    /// What it makes.
    type Parser: SessionParser;

    /// The parser of the flow `key`.
    fn new_parser(&mut self, key: &K) -> Self::Parser;
}

/// Makes the parser of each UDP flow; see [`SessionParserFactory`].
pub trait DatagramParserFactory<K, Marker = ByClone>: Send + 'static {
    /// What it makes.
    type Parser: DatagramParser;

    /// The parser of the flow `key`.
    fn new_parser(&mut self, key: &K) -> Self::Parser;
}

/// Marks parsers that are factories of their own clones.
#[derive(Debug)]
pub enum ByClone {}

/// Marks closures that are factories.
#[derive(Debug)]
pub enum ByClosure {}

/// Marks factories of parsers that give their messages to a handler.
#[derive(Debug)]
pub enum ByHandler {}

impl<K, P: SessionParser + Default + Clone> SessionParserFactory<K, ByClone> for P {
    type Parser = P;

    fn new_parser(&mut self, _key: &K) -> P {
        self.clone()
    }
}

impl<K, P, F> SessionParserFactory<K, ByClosure> for F
where
    P: SessionParser,
    F: FnMut(&K) -> P + Send + 'static,
{
    type Parser = P;

    fn new_parser(&mut self, key: &K) -> P {
        self(key)
    }
}

impl<K, P: DatagramParser + Default + Clone> DatagramParserFactory<K, ByClone> for P {
    type Parser = P;

    fn new_parser(&mut self, _key: &K) -> P {
        self.clone()
    }
}

impl<K, P, F> DatagramParserFactory<K, ByClosure> for F
where
    P: DatagramParser,
    F: FnMut(&K) -> P + Send + 'static,
{
    type Parser = P;

    fn new_parser(&mut self, key: &K) -> P {
        self(key)
    }
}
