-- The peer's ledger, as a careful PostgreSQL engineer would write it for speed: one round trip
-- and one transaction for a transfer, or for a batch of them. Amounts are minor units; codes
-- are those of Ducat's outcomes, 128 added for a repeat.

CREATE TABLE accounts (
    id bigint PRIMARY KEY,
    balance bigint NOT NULL,
    external boolean NOT NULL,
    CHECK (balance >= 0 OR external)
) WITH (fillfactor = 50);
-- Half-empty pages: an update finds room on its own page (HOT) and touches no index.

-- No foreign keys: the functions find both accounts anyway, and the checks would cost two more
-- row locks a transfer.
CREATE TABLE transfers (
    id uuid PRIMARY KEY,
    debit bigint NOT NULL,
    credit bigint NOT NULL,
    amount bigint NOT NULL CHECK (amount > 0),
    code smallint NOT NULL,
    made timestamptz NOT NULL DEFAULT now()
);

-- One transfer. The id is taken first, so that a repeat finds the first one's outcome. Accounts
-- are updated in the order of their ids, so that two transfers never wait for each other; a
-- refusal found late takes back what it did, which costs the rare case and not the common one.
CREATE FUNCTION transfer(p_id uuid, p_debit bigint, p_credit bigint, p_amount bigint)
RETURNS smallint LANGUAGE plpgsql AS $$
DECLARE
    known transfers%ROWTYPE;
    posted boolean := false;
    refusal smallint;
BEGIN
    INSERT INTO transfers (id, debit, credit, amount, code)
        VALUES (p_id, p_debit, p_credit, p_amount, 0) ON CONFLICT (id) DO NOTHING;
    IF NOT FOUND THEN
        SELECT * INTO STRICT known FROM transfers WHERE id = p_id;
        IF (known.debit, known.credit, known.amount) = (p_debit, p_credit, p_amount) THEN
            RETURN known.code + 128;
        END IF;
        RETURN 16;                                                              -- ID_REUSED
    END IF;

    IF p_debit < p_credit THEN
        UPDATE accounts SET balance = balance - p_amount
            WHERE id = p_debit AND (balance >= p_amount OR external);
        IF FOUND THEN
            UPDATE accounts SET balance = balance + p_amount WHERE id = p_credit;
            posted := FOUND;
            IF NOT posted THEN
                UPDATE accounts SET balance = balance + p_amount WHERE id = p_debit;
            END IF;
        END IF;
    ELSIF p_debit > p_credit THEN
        UPDATE accounts SET balance = balance + p_amount WHERE id = p_credit;
        IF FOUND THEN
            UPDATE accounts SET balance = balance - p_amount
                WHERE id = p_debit AND (balance >= p_amount OR external);
            posted := FOUND;
            IF NOT posted THEN
                UPDATE accounts SET balance = balance - p_amount WHERE id = p_credit;
            END IF;
        END IF;
    END IF;
    IF posted THEN
        RETURN 0;
    END IF;

    refusal := CASE
        WHEN p_debit = p_credit THEN 4                                       -- SAME_ACCOUNT
        WHEN NOT EXISTS (SELECT FROM accounts WHERE id = p_debit) THEN 5   -- DEBIT_ACCOUNT_UNKNOWN
        WHEN NOT EXISTS (SELECT FROM accounts WHERE id = p_credit) THEN 6  -- CREDIT_ACCOUNT_UNKNOWN
        ELSE 14                                                        -- INSUFFICIENT_FUNDS
    END;
    UPDATE transfers SET code = refusal WHERE id = p_id;
    RETURN refusal;
END $$;

-- A batch, in order, in one transaction; one byte for each transfer. All accounts are locked in
-- the order of their ids. When every account can pay all it pays in this batch, and no id was
-- used before, then no order of its transfers refuses any: the balances change by one statement
-- and the transfers are written by another. Otherwise both are undone, and the transfers are
-- made one by one, so that the outcomes are those of executing them in order.
CREATE FUNCTION transfer_batch(
    p_ids uuid[], p_debits bigint[], p_credits bigint[], p_amounts bigint[]
) RETURNS bytea LANGUAGE plpgsql AS $$
DECLARE
    together boolean;
    codes bytea := decode(repeat('00', cardinality(p_ids)), 'hex');
BEGIN
    -- A join and not `= ANY`: after waiting for a row its condition is evaluated again, and that
    -- would search the whole array for every account.
    PERFORM FROM accounts
        JOIN (SELECT DISTINCT unnest(p_debits || p_credits) AS id) AS touched USING (id)
        ORDER BY accounts.id FOR NO KEY UPDATE OF accounts;
    BEGIN
        WITH lines AS MATERIALIZED (
            SELECT * FROM unnest(p_debits, p_credits, p_amounts) AS t (debit, credit, amount)
        ), moved AS MATERIALIZED (
            SELECT account, sum(gain)::bigint AS gain, sum(pays) AS pays
            FROM (SELECT debit, -amount, amount FROM lines
                  UNION ALL SELECT credit, amount, 0 FROM lines) AS sides (account, gain, pays)
            GROUP BY account
        ), changed AS (
            UPDATE accounts SET balance = accounts.balance + moved.gain FROM moved
            WHERE accounts.id = moved.account
                AND (accounts.balance >= moved.pays OR accounts.external)
            RETURNING 1
        )
        SELECT (SELECT count(*) FROM changed) = (SELECT count(*) FROM moved)
            AND NOT EXISTS (SELECT FROM lines WHERE debit = credit) INTO together;
        IF NOT together THEN
            RAISE EXCEPTION 'some are refused' USING ERRCODE = 'DU001';
        END IF;
        INSERT INTO transfers (id, debit, credit, amount, code)
            SELECT id, debit, credit, amount, 0
            FROM unnest(p_ids, p_debits, p_credits, p_amounts) AS t (id, debit, credit, amount);
        RETURN codes;
    EXCEPTION WHEN SQLSTATE 'DU001' OR unique_violation OR numeric_value_out_of_range THEN
        NULL;
    END;
    FOR i IN 1 .. cardinality(p_ids) LOOP
        codes := set_byte(codes, i - 1,
            transfer(p_ids[i], p_debits[i], p_credits[i], p_amounts[i]));
    END LOOP;
    RETURN codes;
END $$;
