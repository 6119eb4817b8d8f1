"""Prints random events judged by dp_accounting 0.6.0: crosscheck.py SEED CASES."""
import random, json, math, sys, warnings
warnings.filterwarnings("ignore")
import logging; logging.disable(logging.CRITICAL)
import dp_accounting as dpa
from dp_accounting import pld, rdp
from dp_accounting.pld import privacy_loss_distribution as P
NR=dpa.NeighboringRelation
rel={'add_remove':NR.ADD_OR_REMOVE_ONE,'replace_one':NR.REPLACE_ONE,'zero_out':NR.REPLACE_SPECIAL}
def ev(e):
    t=e['type']
    if t=='self_composed': return dpa.SelfComposedDpEvent(ev(e['event']),e['count'])
    if t=='composed': return dpa.ComposedDpEvent([ev(x) for x in e['events']])
    if t=='gaussian': return dpa.GaussianDpEvent(e['noise_multiplier'])
    if t=='laplace': return dpa.LaplaceDpEvent(e['noise_multiplier'])
    if t=='poisson': return dpa.PoissonSampledDpEvent(e['sampling_probability'],ev(e['event']))
    if t=='wor': return dpa.SampledWithoutReplacementDpEvent(e['source_dataset_size'],e['sample_size'],ev(e['event']))
    if t=='randomized_response': return dpa.RandomizedResponseDpEvent(e['noise_parameter'],e['num_buckets'])
    if t=='discrete_laplace': return dpa.dp_event.DiscreteLaplaceDpEvent(e['noise_parameter'],e['sensitivity'])
    if t=='zcdp': return dpa.ZCDpEvent(e['rho'],e['xi'])
    if t=='tree': return dpa.SingleEpochTreeAggregationDpEvent(e['noise_multiplier'],e['step_counts'])
    if t=='truncated_poisson_gaussian': return dpa.dp_event.TruncatedSubsampledGaussianDpEvent(e['dataset_size'],e['sampling_probability'],e['truncated_batch_size'],e['noise_multiplier'])
    if t=='mixture_gaussian': return dpa.dp_event.MixtureOfGaussiansDpEvent(e['standard_deviation'],e['sensitivities'],e['sampling_probs'])
    raise KeyError(t)
R=random.Random(int(sys.argv[1])); n=int(sys.argv[2])
lu=lambda a,b: math.exp(R.uniform(math.log(a),math.log(b)))
li=lambda a,b:int(round(lu(a,b)))
G=lambda z:{'type':'gaussian','noise_multiplier':z}
def leaf():
    k=R.choice(['pg']*5+['g','l','pl','wor','rr','dl','tp','mix','pgr','zcdp','tree','dg'])
    r='add_remove'; c=li(1,3000)
    if k=='pg': 
        q=lu(1e-4,.5); z=lu(.5,6); e={'type':'poisson','sampling_probability':q,'event':G(z)}
    elif k=='g': e=G(lu(.3,50)); 
    elif k=='l': e={'type':'laplace','noise_multiplier':lu(.5,50)}; c=li(1,100)
    elif k=='pl': e={'type':'poisson','sampling_probability':lu(1e-3,.5),'event':{'type':'laplace','noise_multiplier':lu(.7,20)}}; c=li(1,500)
    elif k=='wor': n=li(100,100000); e={'type':'wor','source_dataset_size':n,'sample_size':li(1,n),'event':G(lu(.6,8))}; r='replace_one'; c=li(1,1000)
    elif k=='rr': e={'type':'randomized_response','noise_parameter':R.uniform(.05,.95),'num_buckets':R.randint(2,20)}; r=R.choice(['replace_one','zero_out']); c=1
    elif k=='dl': e={'type':'discrete_laplace','noise_parameter':lu(.05,2),'sensitivity':R.randint(1,4)}; c=li(1,40)
    elif k=='tp':
        n=li(1000,100000); q=lu(.002,.05); b=int(n*q*R.uniform(1,1.6))+1; e={'type':'truncated_poisson_gaussian','dataset_size':n,'sampling_probability':q,'truncated_batch_size':b,'noise_multiplier':lu(.7,5)}; c=li(1,300)
    elif k=='mix':
        m=R.randint(2,4); w=[R.random()**2 for _ in range(m)]; s=sum(w); w=[x/s for x in w]; e={'type':'mixture_gaussian','standard_deviation':lu(.8,8),'sensitivities':[0.0]+[R.uniform(.2,2) for _ in range(m-1)],'sampling_probs':w}; c=li(1,100)
    elif k=='pgr': e={'type':'poisson','sampling_probability':lu(1e-3,.3),'event':G(lu(.8,6))}; r='replace_one'; c=li(1,500)
    elif k=='zcdp': e={'type':'zcdp','rho':lu(1e-4,2),'xi':R.choice([0.0,lu(1e-4,.1)])}; c=1
    elif k=='tree': e={'type':'tree','noise_multiplier':lu(1,20),'step_counts':R.choice([li(1,5000),[li(1,1000),li(1,1000)]])}; r='zero_out'; c=1
    elif k=='dg': e={'type':'discrete_gaussian','sigma':lu(.5,30),'sensitivity':R.randint(1,3)}; c=li(1,50)
    return e,r,c,k
out=[]
for i in range(n):
    e,r,c,k=leaf()
    E={'type':'self_composed','count':c,'event':e} if c>1 or k=='pg' else e
    if k in('pg','l') and R.random()<.3:
        e2,r2,c2,k2=leaf()
        while k2 not in('pg','g','l','pl','dl') : e2,r2,c2,k2=leaf()
        E={'type':'composed','events':[E,{'type':'self_composed','count':min(c2,200),'event':e2}]}; k='composed'
    delta=10**R.uniform(-9,-3)
    case={'family':k,'event':E,'relation':r,'delta':delta}
    if k!='dg':
        try:
            a=rdp.RdpAccountant(neighboring_relation=rel[r]); a.compose(ev(E)); x,o=a.get_epsilon_and_optimal_order(delta); case['rdp']=x; case['order']=float(o)
        except Exception as ex: case['rdp_err']=str(ex)[:50]
    try:
        if k=='dg':
            p=P.from_discrete_gaussian_mechanism(e['sigma'],sensitivity=e['sensitivity'],value_discretization_interval=2e-4).self_compose(c); case['pld']=p.get_epsilon_for_delta(delta)
            p=P.from_discrete_gaussian_mechanism(e['sigma'],sensitivity=e['sensitivity'],value_discretization_interval=2e-4,pessimistic_estimate=False,use_connect_dots=False).self_compose(c); case['plo']=p.get_epsilon_for_delta(delta)
        elif k!='tree' and k!='zcdp' and k!='wor':
            h=2e-4 if case.get('rdp',0)>1 else 5e-5 # a coarse grid is far above the truth where epsilon is small
            a=pld.PLDAccountant(neighboring_relation=rel[r],value_discretization_interval=h); a.compose(ev(E)); case['pld']=a.get_epsilon(delta)
    except Exception as ex: case['pld_err']=str(ex)[:80]
    out.append(case)
json.dump(out,sys.stdout)
