/* The lease of an incarnation, and the fence of attempt, incarnation and revision.
 *
 * One run of TASKS steps, one after the other. Two workers claim its open task; each attempt is a process of its own
 * that goes on however long, also when its lease is over and somebody else holds the task. Somebody cancels the run.
 *
 * Mirrors saga_engine/store: claims.claim and claims.free_ended, incarnations.renew and .end_expired, tasks.release,
 * record._unmoved; and runtime/incarnation.renew.
 *
 * Variants that must fail:
 *   REVISION_ONLY    record compares the revision alone: a claim does not raise it, so a worker without a lease passes
 *   ATTEMPT_ONLY     record compares attempt and incarnation alone: it overwrites what came from outside meanwhile
 *   INCARNATION_ONLY the attempt is not compared: the incarnation that holds the task again records a late attempt
 *   NEVER_RELEASED   what a claim took whose COMMIT nobody heard of stays leased: nobody ever runs it
 *   NEVER_FREED      tasks of ended incarnations are not freed
 */
#define TASKS 2
#ifndef EXPIRIES
#define EXPIRIES 1 /* leases that run out, while the worker goes on */
#endif
#define LIVES (2 + EXPIRIES)
#define RUNNING 0
#define DONE 1
#define CANCELLED 2

byte revision = 0, task = 1, attempt = 0, leased_by = 0;
bool ending = false;
byte outcome = RUNNING;
bool ended[LIVES + 1];
byte lives = 0, expiries = 0;
byte known = 0; /* the attempt of the open task that its holder has in memory */
bool unheard = false, handed_back = false;

#ifdef REVISION_ONLY
#define COUNTS(r, t, a, me) (r == revision && t == task)
#else
#ifdef ATTEMPT_ONLY
#define COUNTS(r, t, a, me) (t == task && a == attempt && me == leased_by)
#else
#ifdef INCARNATION_ONLY
#define COUNTS(r, t, a, me) (r == revision && t == task && me == leased_by)
#else
#define COUNTS(r, t, a, me) (r == revision && t == task && a == attempt && me == leased_by)
#endif
#endif
#endif

inline finish(how) { task = 0; attempt = 0; leased_by = 0; outcome = how }

proctype Attempt(byte me, mine, its) {
  byte seen;
  bool asked;
  do
  :: atomic { /* the snapshot that the report is decided on */
       if
       :: its == task && mine == attempt && me == leased_by -> seen = revision; asked = ending
       :: else -> break
       fi
     }
     /* the user's code runs here; whatever happens meanwhile, it goes on */
     atomic { /* T2 */
       if
       :: COUNTS(seen, its, mine, me) ->
            assert(its == task && mine == attempt && me == leased_by); /* nobody moves a run but who holds its task */
            assert(seen == revision);                                 /* nothing is decided on the past */
            revision++;
            if
            :: asked -> finish(CANCELLED)
            :: !asked && task == TASKS -> finish(DONE)
            :: !asked && task < TASKS -> task++; attempt = 0; leased_by = 0
            fi;
            break
       :: else -> skip /* it has moved: read it again */
       fi
     }
  od
}

proctype Worker() {
  byte me;
  atomic { lives++; me = lives }
  do
  :: task == 0 -> break
  :: atomic { /* T1 */
       task > 0 && leased_by == 0 && !ended[me] ->
       leased_by = me; attempt++;
       if
       :: known = attempt; run Attempt(me, attempt, task)
       :: !unheard -> unheard = true; known = 0 /* committed, and the answer lost */
       fi
     }
#ifndef NEVER_RELEASED
  :: atomic { leased_by == me && !ended[me] && known != attempt -> leased_by = 0 } /* a renewal finds it */
#endif
  :: atomic { ended[me] && task > 0 -> lives++; me = lives } /* a renewal was refused: a new life */
  od
}

proctype World() {
  do
  :: task == 0 -> break
  :: atomic { leased_by > 0 && !ended[leased_by] && expiries < EXPIRIES -> expiries++; ended[leased_by] = true }
#ifndef NEVER_FREED
  :: atomic { leased_by > 0 && ended[leased_by] -> leased_by = 0 }
#endif
  :: atomic { leased_by > 0 && !handed_back -> handed_back = true; leased_by = 0 } /* given up, its thread goes on */
  :: atomic { /* a cancel, acknowledged when this is committed */
       !ending && task > 0 ->
       ending = true; revision++;
       if
       :: leased_by == 0 -> finish(CANCELLED)
       :: else -> skip
       fi
     }
  od
}

init {
  atomic { run Worker(); run Worker(); run World() }
  _nr_pr == 1;
  assert(outcome == (ending -> CANCELLED : DONE)) /* what was acknowledged has happened */
}
