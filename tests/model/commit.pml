/* The connection is lost at COMMIT: did it take?
 *
 * One event is to happen to a run exactly once. Its client decides on what it read, writes under the run's lock, and
 * sends COMMIT. The line may be cut before the server has it, or after; a COMMIT that is on its way when the line is
 * cut may still be carried out, at any later moment. The server holds the lock until the transaction is over.
 *
 * Mirrors saga_engine/runtime/deliver.Door.decided, .recorded and ._asked_again, store/journal.holds; the ledger asks in
 * the same way, by inserting first (ledger/transaction.run, parts.intend).
 *
 * Variants that must fail:
 *   PLAIN_SELECT  the client looks without the lock: what is committed a moment later is not there yet
 *   BLIND_RETRY   the client decides again without asking
 *   ASSUMES_DONE  the client takes the lost answer for a yes
 */
#ifndef CUTS
#define CUTS 2
#endif
#define TRIES (CUTS + 2)

byte revision = 0, happened = 0; /* committed */
bool locked = false;
bool committed[TRIES + 1];       /* the journal line of each try */
byte cuts = 0;

mtype = { yes, refused };
chan request[TRIES + 1] = [1] of { bool };
chan answer[TRIES + 1] = [1] of { mtype };
bool cut[TRIES + 1];

/* One session of the server: its transaction is open, has written, and holds the lock. */
proctype Session(byte me) {
  if
  :: atomic { request[me]?true -> revision++; happened++; committed[me] = true; locked = false }
     if
     :: cut[me] -> skip
     :: else -> answer[me]!yes
     fi
  :: atomic { cut[me] && empty(request[me]) -> locked = false } /* the client is gone: rolled back */
  fi
}

proctype Client() {
  byte seen, me = 0;
  bool took;
  do
  :: seen = revision; /* decides on a snapshot */
     atomic { !locked -> locked = true };
     if
     :: revision != seen -> locked = false /* it has moved: decide again */
     :: else ->
          me++;
          run Session(me);
          if
          :: request[me]!true;
             if
             :: answer[me]?yes -> break
             :: atomic { cuts < CUTS -> cuts++; cut[me] = true }
             fi
          :: atomic { cuts < CUTS -> cuts++; cut[me] = true } /* the request never left */
          fi;
          /* Here the answer is lost. */
#ifdef BLIND_RETRY
          took = false;
#else
#ifdef ASSUMES_DONE
          took = true;
#else
#ifdef PLAIN_SELECT
          took = committed[me];
#else
          atomic { !locked -> took = committed[me] } /* under the lock: the other transaction is over */
#endif
#endif
#endif
          if
          :: took -> break
          :: else -> skip
          fi
     fi
  od
}

/* Somebody else moves the run once, at any moment. */
proctype Other() {
  atomic { !locked -> revision++ }
}

init {
  atomic { run Client(); run Other() }
  _nr_pr == 1;
  assert(happened == 1); /* nothing lost, nothing twice */
  assert(!locked)
}
