//! Lists that the server gives a page at a time: how much of them is wanted, and from where on.

/// Follows a list until it ends, or so many items were given.
pub struct Pages<C> {
    left: u64,
    page_max: u32,
    /// Where the next page begins; `None` before the first and behind the last.
    next: Option<C>,
    begun: bool,
}

impl<C: Clone> Pages<C> {
    /// Up to `limit` items, 0 for all, at most `page_max` at a time.
    pub const fn of(limit: u64, page_max: u32) -> Self {
        let left = if limit == 0 { u64::MAX } else { limit };
        Self { left, page_max, next: None, begun: false }
    }

    /// How many items to ask for, and from where on; `None` when there is nothing more to ask for.
    pub fn next_page(&mut self) -> Option<(u32, Option<C>)> {
        if self.are_over() {
            return None;
        }
        self.begun = true;
        let size = self.left.min(self.page_max.into());
        Some((u32::try_from(size).unwrap_or(self.page_max), self.next.take()))
    }

    /// A page of so many items came, and the next one begins there.
    pub fn came(&mut self, items: usize, next: Option<C>) {
        self.left = self.left.saturating_sub(items as u64);
        self.next = next;
    }

    /// Whether nothing more is to be asked for.
    pub const fn are_over(&self) -> bool {
        self.left == 0 || (self.begun && self.next.is_none())
    }

    /// Whether items follow that were not asked for.
    pub const fn follow(&self) -> bool {
        self.next.is_some()
    }
}

/// A cursor that is empty behind the last page.
pub fn cursor(next: String) -> Option<String> {
    (!next.is_empty()).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::{Pages, cursor};

    /// Walks through a list of so many items, and says how many came and whether more follow.
    fn walk(items: u64, limit: u64) -> (u64, bool) {
        let mut pages = Pages::<u64>::of(limit, 3);
        let mut came = 0;
        while let Some((size, from)) = pages.next_page() {
            assert_eq!(from.unwrap_or(0), came, "each page goes on where the last one ended");
            assert!((1..=3).contains(&size));
            let page = u64::from(size).min(items - came);
            came += page;
            pages.came(page as usize, (came < items).then_some(came));
        }
        (came, pages.follow())
    }

    #[test]
    fn a_list_is_followed_to_its_end_or_to_the_limit() {
        assert_eq!(walk(0, 0), (0, false));
        assert_eq!(walk(7, 0), (7, false));
        assert_eq!(walk(7, 7), (7, false));
        assert_eq!(walk(7, 4), (4, true));
        assert_eq!(walk(7, 100), (7, false));
        assert_eq!(walk(3, 3), (3, false));
    }

    #[test]
    fn an_empty_cursor_is_the_end() {
        assert_eq!(cursor(String::new()), None);
        assert_eq!(cursor("a".into()), Some("a".into()));
    }
}
