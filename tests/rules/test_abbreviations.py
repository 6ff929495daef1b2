"""Every abbreviation and its term."""

from __future__ import annotations

import random
import re

from clinnlp import Record
from clinnlp.rules import load_rules
from clinnlp.training.augmentation import add_noise
from rules.tables import words_in

PAIRS = dict(
    " ".join(pair.split()).split(": ")
    for pair in words_in(
        """
    AAA: abdominal aortic aneurysm | Afib: atrial fibrillation | ASCVD: atherosclerotic cardiovascular disease | BP:
    blood pressure | CABG: coronary artery bypass grafting | CAD: coronary artery disease | CHF: congestive heart
    failure | CVA: cerebrovascular accident | DVT: deep vein thrombosis | EKG: electrocardiogram | HFpEF: heart failure
    with preserved ejection fraction | HFrEF: heart failure with reduced ejection fraction | HR: heart rate | HTN:
    hypertension | JVD: jugular venous distention | LBBB: left bundle branch block | LVEF: left ventricular ejection
    fraction | LVH: left ventricular hypertrophy | NSTEMI: non-ST-elevation myocardial infarction | PAD: peripheral
    artery disease | PCI: percutaneous coronary intervention | PVD: peripheral vascular disease | RBBB: right bundle
    branch block | STEMI: ST-elevation myocardial infarction | SVT: supraventricular tachycardia | TEE: transesophageal
    echocardiogram | TIA: transient ischemic attack | TTE: transthoracic echocardiogram | ARDS: acute respiratory
    distress syndrome | BiPAP: bilevel positive airway pressure | COPD: chronic obstructive pulmonary disease | CPAP:
    continuous positive airway pressure | CXR: chest x-ray | LLL: left lower lobe | LUL: left upper lobe | OSA:
    obstructive sleep apnea | PFTs: pulmonary function tests | RLL: right lower lobe | RUL: right upper lobe | SOB:
    shortness of breath | TB: tuberculosis | AKI: acute kidney injury | BPH: benign prostatic hyperplasia | BUN: blood
    urea nitrogen | CKD: chronic kidney disease | ESRD: end-stage renal disease | GFR: glomerular filtration rate | UTI:
    urinary tract infection | BRBPR: bright red blood per rectum | EGD: esophagogastroduodenoscopy | ERCP: endoscopic
    retrograde cholangiopancreatography | GERD: gastroesophageal reflux disease | GI: gastrointestinal | HCC:
    hepatocellular carcinoma | IBD: inflammatory bowel disease | IBS: irritable bowel syndrome | LFTs: liver function
    tests | LLQ: left lower quadrant | LUQ: left upper quadrant | N/V: nausea and vomiting | NASH: nonalcoholic
    steatohepatitis | PUD: peptic ulcer disease | RLQ: right lower quadrant | RUQ: right upper quadrant | SBO: small
    bowel obstruction | TPN: total parenteral nutrition | BMI: body mass index | DKA: diabetic ketoacidosis | DM:
    diabetes mellitus | HbA1c: hemoglobin A1c | Hgb: hemoglobin | HLD: hyperlipidemia | T2DM: type 2 diabetes mellitus |
    TSH: thyroid-stimulating hormone | AML: acute myeloid leukemia | BMP: basic metabolic panel | CBC: complete blood
    count | CLL: chronic lymphocytic leukemia | CRP: C-reactive protein | DIC: disseminated intravascular coagulation |
    ESR: erythrocyte sedimentation rate | FFP: fresh frozen plasma | HIV: human immunodeficiency virus | INR:
    international normalized ratio | MRSA: methicillin-resistant Staphylococcus aureus | PTT: partial thromboplastin
    time | RBC: red blood cell | WBC: white blood cell | ADHD: attention deficit hyperactivity disorder | CSF:
    cerebrospinal fluid | DJD: degenerative joint disease | EEG: electroencephalogram | EMG: electromyography | GCS:
    Glasgow Coma Scale | MDD: major depressive disorder | MRI: magnetic resonance imaging | OA: osteoarthritis | ORIF:
    open reduction and internal fixation | PTSD: post-traumatic stress disorder | SAH: subarachnoid hemorrhage | SDH:
    subdural hematoma | SLE: systemic lupus erythematosus | TBI: traumatic brain injury | BID: twice daily | EtOH:
    alcohol | HCTZ: hydrochlorothiazide | ICU: intensive care unit | NKDA: no known drug allergies | NPO: nothing by
    mouth | NSAID: nonsteroidal anti-inflammatory drug | PICC: peripherally inserted central catheter | PPI: proton pump
    inhibitor | PRN: as needed | QID: four times daily | TID: three times daily | c/o: complaining of | h/o: history of
    | r/o: rule out | s/p: status post | w/o: without
        """
    )
)


def other(text: str) -> str:
    (made,) = add_noise([Record(f"seen {text} then")], 0.0, 1.0, random.Random(0))
    return made.text[5:-5]


def test_each_is_put_for_the_other() -> None:
    for short, long in PAIRS.items():
        assert (other(short), other(long), other(long.upper())) == (long, short, short)
    assert load_rules("abbreviations", "en")["pairs"] == PAIRS


def test_the_letters_of_an_abbreviation_are_in_its_term_in_their_order() -> None:
    # Of Latin, or from another language.
    latin = {"BID", "QID", "TID", "PRN", "NPO", "EKG", "EtOH", "h/o", "w/o", "HLD", "BRBPR"}
    for short, long in PAIRS.items():
        letters = re.sub("[^a-z0-9]", "", short.lower()).removesuffix("s")
        found = re.search(".*".join(letters), re.sub("[^a-z0-9]", "", long.lower()))
        assert (found is None) <= (short in latin), short
