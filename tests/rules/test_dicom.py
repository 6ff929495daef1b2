"""Every element that the rules of DICOM headers name, and every kind of value."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pydicom
import pytest
import yaml
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence

import clinnlp
from rules.tables import listed

EMPTY = listed("""
    AccessionNumber ContentCreatorName PatientBirthDate PatientSex ReferringPhysicianName StudyID VerifyingObserverName
    FillerOrderNumberImagingServiceRequest PlacerOrderNumberImagingServiceRequest
""")
REPLACED = listed("PatientID PatientName")
# All of these have a kind of value that stays.
REMOVED = listed("""
    ActualHumanPerformersSequence AdmittingDiagnosesCodeSequence AuthorObserverSequence ContentSequence
    CustodialOrganizationSequence DigitalSignaturesSequence EncryptedAttributesSequence GraphicAnnotationSequence
    HumanPerformerCodeSequence IconImageSequence InstitutionCodeSequence MACParametersSequence
    ModifiedAttributesSequence OperatorIdentificationSequence OriginalAttributesSequence OtherPatientIDsSequence
    ParticipantSequence PatientInsurancePlanCodeSequence PatientPrimaryLanguageCodeSequence PatientSize PatientWeight
    PerformingPhysicianIdentificationSequence PersonIdentificationCodeSequence PhysiciansOfRecordIdentificationSequence
    PhysiciansReadingStudyIdentificationSequence PregnancyStatus ReferencedPatientAliasSequence
    ReferencedPatientPhotoSequence ReferencedPatientSequence ReferringPhysicianIdentificationSequence
    RequestAttributesSequence RequestedProcedureCodeSequence ResultsDistributionListSequence
    ScheduledHumanPerformersSequence SmokingStatus SourcePatientGroupIdentificationSequence
    VerifyingObserverIdentificationCodeSequence
""")
MOVED = listed("AcquisitionDate AcquisitionDateTime ContentDate SeriesDate StudyDate")
TIMES = listed("AcquisitionTime ContentTime SeriesTime StudyTime")
KEPT = listed("""
    PixelData FloatPixelData DoubleFloatPixelData ExtendedOffsetTable ExtendedOffsetTableLengths LUTData
    RedPaletteColorLookupTableData GreenPaletteColorLookupTableData BluePaletteColorLookupTableData
    SegmentedRedPaletteColorLookupTableData SegmentedGreenPaletteColorLookupTableData
    SegmentedBluePaletteColorLookupTableData CodeValue CodingSchemeDesignator CodeMeaning CodingSchemeVersion
    LUTExplanation Manufacturer ManufacturerModelName ModalityLUTType RescaleType SequenceName SoftwareVersions
    WindowCenterWidthExplanation
""")
# Kind of value -> an element that nothing else names.
KINDS = {
    "AT": "FrameIncrementPointer", "CS": "Modality", "DS": "SliceThickness", "FD": "SpectralWidth",
    "FL": "ExaminedBodyThickness", "IS": "SeriesNumber", "SL": "ReferencePixelX0", "SS": "TagAngleSecondAxis",
    "SV": "SelectorSVValue", "UL": "SimpleFrameList", "US": "BitsAllocated", "UV": "SelectorUVValue",
}  # fmt: skip
GONE = {
    "AE": "StationAETitle", "DA": "LastMenstrualDate", "DT": "FrameAcquisitionDateTime", "LO": "InstitutionName",
    "LT": "AdditionalPatientHistory", "OB": "EncapsulatedDocument", "PN": "OperatorsName", "SH": "StationName",
    "ST": "InstitutionAddress", "TM": "PatientBirthTime", "UC": "StrainDescription", "UR": "RetrieveURL",
    "UT": "TextValue",
}  # fmt: skip
VALUES: dict[str, Any] = {
    "AT": 0x00180063, "CS": "CODE", "DS": "1.5", "FD": 1.5, "FL": 1.5, "IS": "3", "SL": -3, "SS": -3, "SV": -3, "UL": 3,
    "US": 3, "UV": 3, "DA": "20240305", "DT": "20240305101112", "TM": "101112", "AS": "044Y", "AE": "PLACE",
    "UR": "x:y",
}  # fmt: skip
BYTES = ("OB", "OW", "OF", "OD", "OV", "OB or OW", "US or OW")


def value_of(keyword: str) -> tuple[str, Any]:
    kind = dictionary_VR(tag_for_keyword(keyword) or 0)
    if kind in BYTES:
        return ("OW" if " or " in kind else kind), b"\1\2\3\4\5\6\7\10"
    if kind == "SQ":
        item = Dataset()
        item.Modality = "OT"
        return kind, Sequence([item])
    return kind, VALUES.get(kind, "Zorble")


def rewritten(keyword: str, **options: Any) -> Dataset:
    """Give what becomes of a header with one element, beside what every one has."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.BurnedInAnnotation = "1.2.840.10008.5.1.4.1.1.7", "1.2.3", "NO"
    dataset.BitsAllocated, dataset.PixelRepresentation = 16, 0
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 1, 4, 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    kind, value = value_of(keyword)
    dataset.add_new(tag_for_keyword(keyword), kind, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return pydicom.dcmread(io.BytesIO(clinnlp.deidentify_dicom(buffer.getvalue(), "key", **options)))


@pytest.mark.parametrize("keyword", EMPTY)
def test_elements_that_are_emptied(keyword: str) -> None:
    new = rewritten(keyword)
    assert keyword in new
    assert not new[keyword].value


@pytest.mark.parametrize("keyword", REPLACED)
def test_elements_that_a_key_makes(keyword: str) -> None:
    value = str(rewritten(keyword)[keyword].value)
    assert len(value) == 16
    assert value == str(rewritten(keyword)[keyword].value)


@pytest.mark.parametrize("keyword", [*REMOVED, *GONE.values()])
def test_elements_that_are_removed(keyword: str) -> None:
    assert keyword not in rewritten(keyword)


@pytest.mark.parametrize("keyword", MOVED)
def test_dates_that_are_moved(keyword: str) -> None:
    value = str(rewritten(keyword)[keyword].value)
    assert len(value) == len(value_of(keyword)[1])
    assert value[:8] < "20240305"
    assert not rewritten(keyword, dates="remove")[keyword].value


@pytest.mark.parametrize("keyword", TIMES)
def test_times_that_stay_where_dates_are_moved(keyword: str) -> None:
    assert str(rewritten(keyword)[keyword].value) == "101112"
    assert keyword not in rewritten(keyword, dates="remove")


@pytest.mark.parametrize("keyword", [*KEPT, *KINDS.values()])
def test_elements_that_stay(keyword: str) -> None:
    kept = rewritten(keyword)[keyword].value
    wanted = value_of(keyword)[1]
    assert kept == wanted or str(kept) == str(wanted)


def test_the_tables_are_complete_and_their_elements_of_the_kinds_that_they_say() -> None:
    path = Path(clinnlp.__file__).parent / "rules" / "dicom.yaml"
    rules = yaml.safe_load(path.read_text(encoding="utf-8"))
    tables = {"Z": EMPTY, "D": REPLACED, "X": REMOVED, "dates": MOVED, "times": TIMES, "keep": KEPT, "kinds": [*KINDS]}
    assert {name: sorted(some) for name, some in tables.items()} == {name: sorted(some) for name, some in rules.items()}
    for kind, keyword in {**KINDS, **GONE}.items():
        assert dictionary_VR(tag_for_keyword(keyword) or 0) == kind
