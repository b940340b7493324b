//! How many connections each address has open: one that takes all the places of the server would keep
//! everybody else in the backlog.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The bits of an IPv6 address that one client cannot choose as it likes.
const NETWORK: u128 = !0 << 64;

/// Who floods on one connection loses the places of so many, of all that its address has one part in this many.
const LOST_PART: usize = 64;

/// The open connections of all addresses. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Addresses {
    each: usize,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Addresses {
    /// So many for each, but one at least.
    pub fn new(each: usize) -> Self {
        Self { each: each.max(1), open: Arc::default() }
    }

    /// A place for a connection from there; `None` when it has as many as it may.
    pub fn take(&self, address: IpAddr) -> Option<AddressPlace> {
        let address = network(address);
        let mut open = self.open();
        let count = open.entry(address).or_default();
        if *count >= self.each {
            return None;
        }
        *count += 1;
        drop(open);
        Some(AddressPlace { addresses: self.clone(), address })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who shares a bound: an IPv4 address, or the network of an IPv6 address, which is one client's.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// The place of one connection, until it is dropped.
#[derive(Debug)]
pub(super) struct AddressPlace {
    addresses: Addresses,
    address: IpAddr,
}

impl AddressPlace {
    /// What the address loses besides this place when it is kept for a flood, as far as there are any: so much that it has
    /// none left after [`LOST_PART`] floods.
    pub fn lost(&self) -> Vec<Self> {
        let more = self.addresses.each / LOST_PART;
        (1..more).map_while(|_| self.addresses.take(self.address)).collect()
    }
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let mut open = self.addresses.open();
        // An address that has none open is not remembered.
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn each_address_has_its_own_places_and_gives_them_back() {
        let addresses = Addresses::new(2);
        let (one, other) = (address("10.0.0.1"), address("10.0.0.2"));
        let first = addresses.take(one).expect("a place");
        let second = addresses.take(one).expect("a place");
        assert!(addresses.take(one).is_none() && addresses.take(one).is_none());
        let others = addresses.take(other).expect("a place of its own");
        drop(first);
        drop(addresses.take(one).expect("it was given back"));
        drop((second, others));
        assert!(addresses.open().is_empty(), "nobody is remembered");
    }

    #[test]
    fn an_address_is_out_of_places_after_some_floods() {
        let addresses = Addresses::new(512);
        let one = address("10.0.0.1");
        let flood = || {
            let place = addresses.take(one)?;
            Some((place.lost(), place))
        };
        let floods: Vec<_> = std::iter::from_fn(flood).collect();
        assert_eq!(floods.len(), LOST_PART);
        assert!(addresses.take(one).is_none() && addresses.take(address("10.0.0.2")).is_some());
        drop(floods);
        assert!(addresses.open().is_empty(), "all are given back");
        let few = Addresses::new(3);
        assert!(few.take(one).is_some_and(|place| place.lost().is_empty()));
    }

    #[test]
    fn a_network_of_ipv6_is_one_client_and_ipv4_is_told_in_either_form() {
        let addresses = Addresses::new(1);
        let _held = addresses.take(address("2001:db8:1:2::1")).expect("a place");
        assert!(addresses.take(address("2001:db8:1:2:ffff::9")).is_none());
        assert!(addresses.take(address("2001:db8:1:3::1")).is_some());
        let _mapped = addresses.take(address("::ffff:10.0.0.1")).expect("a place");
        assert!(addresses.take(address("10.0.0.1")).is_none());
    }
}
