/* Timers and approvals: a gate that expires, people who answer, and a second gate after the first.
 *
 * The gate of a run opens, shows something, and expires. A timer task of its decision waits for that; a worker claims
 * it when it is due and reports it, late perhaps. Two people look, think, and answer. What is shown may be amended:
 * the gate is closed and a new one opened, with a new timer. Every decision is made on a snapshot and recorded if the
 * run has not moved.
 *
 * Mirrors saga_engine/domain/approvals: open_gate, verdict, expire, _refuse; domain/attempts.stale for the timer's
 * report; store/claims.claim (the database's clock) and store/record._unmoved.
 *
 * Variants that must fail:
 *   NO_REVISION      a decision is recorded although the run has moved
 *   NO_DIGEST        a verdict counts for whatever is open now
 *   NO_EXPIRY_CHECK  a verdict counts until the timer has fired, however late a worker comes to it
 *   TIMER_OF_STATE   a timer is named by its state, not by the decision that made it: it fires at the next gate
 *   WORKER_CLOCK     a worker claims by its own clock, which is ahead
 */
#define GATES 2
#define LENGTH 2 /* ticks that a gate is open */
#ifndef TICKS
#define TICKS 5
#endif
#define WAITING 0
#define APPROVED 1
#define EXPIRED 2

byte now = 0;
byte revision = 0, gate = 1, expires = LENGTH, timer = 1; /* timer: the gate that it belongs to */
byte due[GATES + 1];
byte outcome = WAITING, outcomes = 0;

#ifdef NO_REVISION
#define UNMOVED(seen) true
#else
#define UNMOVED(seen) (seen == revision)
#endif
#ifdef NO_DIGEST
#define SAME(looked_at, open) true
#else
#define SAME(looked_at, open) (looked_at == open)
#endif
#ifdef NO_EXPIRY_CHECK
#define IN_TIME(at, until) true
#else
#define IN_TIME(at, until) (at < until)
#endif
#ifdef TIMER_OF_STATE
#define STILL_THERE(claimed) (gate > 0)
#else
#define STILL_THERE(claimed) (timer == claimed)
#endif
#ifdef WORKER_CLOCK
#define CLOCK (now + 1)
#else
#define CLOCK now
#endif

inline close(how) { revision++; outcome = how; outcomes++; gate = 0; timer = 0 }

proctype Person() {
  byte looked_at, seen, open, until, at;
  (gate > 0 || outcome != WAITING);
  if
  :: looked_at = gate /* reads what is shown; thinks for as long as it takes */
  :: goto out
  fi;
  do
  :: atomic { seen = revision; open = gate; until = expires; at = now }; /* the decision's snapshot and clock */
     if
     :: open == 0 || !SAME(looked_at, open) || !IN_TIME(at, until) -> break /* refused */
     :: else -> skip
     fi;
     atomic {
       if
       :: UNMOVED(seen) ->
            assert(looked_at == gate);   /* nobody approves what they were not shown */
            assert(at < expires);        /* nobody approves after the time is over */
            close(APPROVED);
            break
       :: else -> skip
       fi
     }
  od;
out: skip
}

proctype Worker() {
  byte claimed, seen;
  bool there;
  do
  :: outcome != WAITING -> break
  :: atomic { timer > 0 && CLOCK >= due[timer] -> claimed = timer };
     /* claimed; it may be long before it is reported */
     do
     :: atomic { seen = revision; there = STILL_THERE(claimed) };
        if
        :: !there -> break /* stale */
        :: else -> skip
        fi;
        atomic {
          if
          :: UNMOVED(seen) ->
               assert(now >= expires); /* nothing expires before its time */
               close(EXPIRED);
               break
          :: else -> skip
          fi
        }
     od
  od
}

proctype World() {
  do
  :: outcome != WAITING -> break
  :: atomic { now < TICKS -> now++ }
  :: atomic { /* the shown result is amended: another gate, with the digest of what it shows now */
       gate == 1 && now + LENGTH <= TICKS ->
       revision++; gate = 2; expires = now + LENGTH; timer = 2; due[2] = expires
     }
  od
}

init {
  due[1] = LENGTH;
  atomic { run Person(); run Person(); run Worker(); run World() }
  _nr_pr == 1;
  assert(outcomes == 1) /* one outcome, never two, never none */
}
