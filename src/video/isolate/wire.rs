//! Messages as bytes: a length, then numbers and texts. Reading believes nothing.

/// What cannot have been said by a decoder process in its right mind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Nonsense(pub &'static str);

/// The longest message that the daemon takes, in bytes: an error's texts.
pub(super) const LONGEST: usize = 16 << 10;

/// Writes one message into a buffer that is used again and again.
pub(super) struct Pen<'a>(&'a mut Vec<u8>);

impl<'a> Pen<'a> {
    pub fn begin(buffer: &'a mut Vec<u8>, kind: u8) -> Self {
        buffer.clear();
        buffer.extend_from_slice(&[0, 0, 0, 0, kind]);
        Pen(buffer)
    }

    pub fn number(&mut self, number: u64) -> &mut Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    /// A number and then, where there is a value, that value.
    pub fn maybe<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) -> &mut Self {
        self.number(u64::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
        self
    }

    pub fn each<T>(&mut self, values: &[T], write: impl Fn(&mut Self, &T)) -> &mut Self {
        self.number(values.len() as u64);
        values.iter().for_each(|value| write(self, value));
        self
    }

    /// The whole message, its length in front.
    pub fn end(&mut self) -> &[u8] {
        let len = u32::try_from(self.0.len().saturating_sub(4)).unwrap_or(u32::MAX);
        if let Some(front) = self.0.get_mut(..4) {
            front.copy_from_slice(&len.to_le_bytes());
        }
        self.0
    }
}

/// Reads the body of a message; `None` where it is too short or makes no sense.
pub(super) struct Lens<'a>(pub &'a [u8]);

impl<'a> Lens<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn kind(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub fn number(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    /// A number of at most `most`.
    pub fn up_to(&mut self, most: u64) -> Option<u64> {
        self.number().filter(|number| *number <= most)
    }

    pub fn flag(&mut self) -> Option<bool> {
        self.up_to(1).map(|number| number == 1)
    }

    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.number()?).ok()?;
        self.take(len)
    }

    /// A text; what is no UTF-8 is replaced.
    pub fn text(&mut self) -> Option<String> {
        self.bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    pub fn maybe<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.flag()? { read(self).map(Some) } else { Some(None) }
    }

    pub fn each<T>(&mut self, read: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        // Grows with what is really there, not with what the number claims.
        let mut values = Vec::new();
        for _ in 0..self.number()? {
            values.push(read(self)?);
        }
        Some(values)
    }

    /// That nothing is left.
    pub fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// Bytes as they came, cut into messages.
pub(super) struct Inbox {
    bytes: Vec<u8>,
    most: usize,
}

impl Inbox {
    /// Takes messages of at most `most` bytes.
    pub fn new(most: usize) -> Self {
        Inbox { bytes: Vec::new(), most }
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message into `body`; whether there was one.
    pub fn take(&mut self, body: &mut Vec<u8>) -> Result<bool, Nonsense> {
        let Some((front, rest)) = self.bytes.split_first_chunk::<4>() else { return Ok(false) };
        let len = usize::try_from(u32::from_le_bytes(*front)).unwrap_or(usize::MAX);
        if len == 0 || len > self.most {
            return Err(Nonsense("a message of an impossible length"));
        }
        let Some(message) = rest.get(..len) else { return Ok(false) };
        body.clear();
        body.extend_from_slice(message);
        self.bytes.drain(..4 + len);
        Ok(true)
    }
}
