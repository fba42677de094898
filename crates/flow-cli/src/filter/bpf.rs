//! The packet filter machine of BSD (McCanne and Jacobson 1993, `bpf(4)`), as libpcap programs it.

/// A program that says of a packet whether it matches.
#[derive(Clone, Debug)]
pub(super) struct Program(Vec<Instruction>);

/// An instruction: what to do, where to go on, an operand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Instruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    k: u32,
}

impl Instruction {
    /// From four numbers in decimal, as `tcpdump -ddd` prints them.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split(' ');
        let mut field = || fields.next();
        Some(Self {
            code: field()?.parse().ok()?,
            if_true: field()?.parse().ok()?,
            if_false: field()?.parse().ok()?,
            k: field()?.parse().ok()?,
        })
    }
}

/// The registers.
#[derive(Default)]
struct Machine {
    a: u32,
    x: u32,
    scratch: [u32; SCRATCH],
}

/// Words of memory (`BPF_MEMWORDS`).
const SCRATCH: usize = 16;

// Parts of a code. The lowest three bits are its class.
const CLASS: u16 = 0x07;
const LD: u16 = 0x00;
const LDX: u16 = 0x01;
const ST: u16 = 0x02;
const STX: u16 = 0x03;
const ALU: u16 = 0x04;
const JMP: u16 = 0x05;
const RET: u16 = 0x06;
const MISC: u16 = 0x07;
/// The operand is X and not the constant.
const BY_X: u16 = 0x08;

impl Program {
    pub(super) const fn new(instructions: Vec<Instruction>) -> Self {
        Self(instructions)
    }

    /// Whether a packet of this length on the wire matches, of which `frame` was captured.
    ///
    /// As for libpcap, one does not match that ends before what the program wants to see.
    /// Jumps go forward only, so that this takes no more steps than there are instructions.
    pub(super) fn matches(&self, frame: &[u8], wire_len: u32) -> bool {
        self.run(frame, wire_len).is_some_and(|bytes| bytes != 0)
    }

    /// Bytes of the packet to keep; `None` if the program went wrong.
    fn run(&self, frame: &[u8], wire_len: u32) -> Option<u32> {
        let mut machine = Machine::default();
        let mut at = 0_usize;
        loop {
            let instruction = *self.0.get(at)?;
            let Instruction { code, k, .. } = instruction;
            at += 1;
            match code & CLASS {
                LD => machine.a = machine.load(code, k, frame, wire_len)?,
                LDX => machine.x = machine.load_index(code, k, frame, wire_len)?,
                ST => *machine.scratch.get_mut(k as usize)? = machine.a,
                STX => *machine.scratch.get_mut(k as usize)? = machine.x,
                ALU => machine.a = machine.calculate(code, k)?,
                JMP => at = at.checked_add(machine.distance(instruction)?)?,
                RET => return machine.result(code, k),
                MISC if code == 0x07 => machine.x = machine.a,
                MISC if code == 0x87 => machine.a = machine.x,
                _ => return None,
            }
        }
    }
}

impl Machine {
    fn load(&self, code: u16, k: u32, frame: &[u8], wire_len: u32) -> Option<u32> {
        let offset = match code & 0xe0 {
            0x00 => return Some(k),
            0x20 => k,
            0x40 => self.x.checked_add(k)?,
            0x60 => return self.scratch.get(k as usize).copied(),
            0x80 => return Some(wire_len),
            _ => return None,
        };
        let bytes = frame.get(offset as usize..)?;
        match code & 0x18 {
            0x00 => bytes.first_chunk().map(|word| u32::from_be_bytes(*word)),
            0x08 => bytes.first_chunk().map(|half| u16::from_be_bytes(*half).into()),
            0x10 => bytes.first().map(|&byte| byte.into()),
            _ => None,
        }
    }

    fn load_index(&self, code: u16, k: u32, frame: &[u8], wire_len: u32) -> Option<u32> {
        match code & 0xe0 {
            0x00 => Some(k),
            0x60 => self.scratch.get(k as usize).copied(),
            0x80 => Some(wire_len),
            // The length of an IPv4 header, counted in words.
            0xa0 => frame.get(k as usize).map(|&byte| u32::from(byte & 0x0f) * 4),
            _ => None,
        }
    }

    fn calculate(&self, code: u16, k: u32) -> Option<u32> {
        let a = self.a;
        let operand = self.operand(code, k);
        Some(match code & 0xf0 {
            0x00 => a.wrapping_add(operand),
            0x10 => a.wrapping_sub(operand),
            0x20 => a.wrapping_mul(operand),
            0x30 => a.checked_div(operand)?,
            0x40 => a | operand,
            0x50 => a & operand,
            0x60 => a.checked_shl(operand).unwrap_or(0),
            0x70 => a.checked_shr(operand).unwrap_or(0),
            0x80 => a.wrapping_neg(),
            0x90 => a.checked_rem(operand)?,
            0xa0 => a ^ operand,
            _ => return None,
        })
    }

    /// Instructions to leave out.
    fn distance(&self, instruction: Instruction) -> Option<usize> {
        let Instruction { code, if_true, if_false, k } = instruction;
        let operand = self.operand(code, k);
        let holds = match code & 0xf0 {
            0x00 => return Some(k as usize),
            0x10 => self.a == operand,
            0x20 => self.a > operand,
            0x30 => self.a >= operand,
            0x40 => self.a & operand != 0,
            _ => return None,
        };
        Some(if holds { if_true } else { if_false }.into())
    }

    fn result(&self, code: u16, k: u32) -> Option<u32> {
        match code & 0x18 {
            0x00 => Some(k),
            0x08 => Some(self.x),
            0x10 => Some(self.a),
            _ => None,
        }
    }

    const fn operand(&self, code: u16, k: u32) -> u32 {
        if code & BY_X == 0 { k } else { self.x }
    }
}
